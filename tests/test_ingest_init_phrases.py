"""`souk init`: what values of several words say, as those of recipes, homes and other portals."""

from pathlib import Path

import pytest

from souk.config import parse_config
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.phrases import act_of, undoes
from tests.test_ingest_first_config import Table, write

SHOWN = [
    "search_impression",
    "SearchResultShown",
    "view_item_list",
    "list_view",
    "results_viewed",
    "In Suche angezeigt",
]
SHOWN += ["Trefferliste angezeigt", "impresion_listado", "affichage_resultats"]
CLICKED = ["recipe_view", "photo_gallery_opened", "recommendation_click", "search_result_clicked", "Rezept angesehen"]
CLICKED += ["Bildergalerie geöffnet", "abrir_galeria", "ouverture_photos"]
CARTS = ["save_to_cookbook", "add_to_shopping_list", "meal_plan_add", "Ins Kochbuch gespeichert"]
CARTS += ["Auf die Einkaufsliste", "guardar_en_recetario", "añadir_a_la_lista", "ajout_carnet", "ajout_favoris"]
CARTS += ["print_recipe", "share", "add_to_compare"]
ASKED = ["phone_revealed", "show_phone_number", "Telefonnummer angezeigt", "contact_form_sent", "contact_agent"]
ASKED += ["call_seller", "viewing_booked", "request_viewing", "Besichtigung angefragt", "Kontaktanfrage gesendet"]
ASKED += ["demande_visite", "formulaire_contact", "contacto_enviado", "visita_reservada"]
COOKED = ["cooked_it", "I made this", "nachgekocht"]
DISLIKED = ["dislike", "thumbs_down", "no_me_gusta", "add_to_blacklist", "put_into_trash", "added_to_ignored_sellers"]
UNKNOWN = ["email_alert_open", "email_sent", "banner_view", "saved_search", "viewing", "phone_view", "photo_liked"]
UNKNOWN += ["order_cooked", "shopping_list_view", "add_to", "list", "search", "no_purchase", "item_number_shown"]
UNKNOWN += ["show_less"]
UNKNOWN += ["ver_telefono"]  # of a shop of phones it is a look
UNDONE = ["unfavourite", "unsave_item", "remove_from_cart", "favourite_remove", "RemovedFromCookbook", "unlike"]
UNDONE += ["unfollow", "viewing_cancelled", "favorit_entfernt", "Aus Kochbuch entfernt", "eliminar_de_favoritos"]
UNDONE += ["delete_review", "quitar_favorito", "suppression_favoris"]


@pytest.mark.parametrize(
    ("texts", "act"),
    [
        (SHOWN, "impression"),
        (CLICKED, "click"),
        ([*CARTS, *ASKED], "cart"),
        (COOKED, "purchase"),
        (DISLIKED, "hide"),
        (["added_a_review", "rate_recipe"], "rating"),
        (UNKNOWN, None),
        (UNDONE, None),
    ],
)
def test_what_words_say_together(texts: list[str], act: str | None) -> None:
    assert {text: act_of(text) for text in texts} == dict.fromkeys(texts, act)


def test_what_takes_an_act_back() -> None:
    assert [text for text in UNDONE if not undoes(text)] == []
    others = [
        "uninstall",
        "order_cancelled",
        "order_removed",
        "unread",
        "removed",
        "remove_ads",
        "unsold",
        "under_offer",
    ]
    assert [text for text in [*SHOWN, *CLICKED, *CARTS, *ASKED, *COOKED, *others] if undoes(text)] == []


def log(words: list[str]) -> Table:
    return [
        {"user_id": f"u{n % 9}", "item_id": f"i{n % 7}", "action": words[n % len(words)], "ts": 1_700_000_000 + n * 60}
        for n in range(60)
    ]


def test_what_is_taken_back_or_only_sent_is_no_click_and_is_told(tmp_path: Path) -> None:
    words = ["view", "favourite", "unfavourite", "email_alert_sent", "push_delivered", "message_sent", "gift_sent"]
    first = first_config(write(log(words), tmp_path / "e.csv"), None, None, "x")
    events = parse_config(first.text).data.events
    assert events.skip == {"action": ("unfavourite", "email_alert_sent", "push_delivered")}
    assert events.event_types == {"view": "click", "favourite": "cart", "message_sent": "cart", "gift_sent": "click"}
    assert first.unknown == ("gift_sent",)
    assert first.left_out == (
        "an earlier act is taken back by unfavourite of action (9 of 60 rows)",
        "nobody chose email_alert_sent, push_delivered of action (17 of 51 rows)",
    )


def test_a_log_of_nothing_else_is_kept(tmp_path: Path) -> None:
    first = first_config(write(log(["unsave", "unlike"]), tmp_path / "e.csv"), None, None, "x")
    assert parse_config(first.text).data.events.skip == {} and first.unknown == ("unlike", "unsave")


@pytest.mark.parametrize(
    ("flag", "back", "count", "kinds"),
    [
        ("favorite", 1, 80, {"1": "cart"}),
        ("favorite", 1, 40, {"0": "impression", "1": "cart"}),  # too few to tell
        ("favorite", 3, 80, {"0": "impression", "1": "cart"}),  # a third: most were only shown
        ("favorite", 99, 80, {"0": "impression", "1": "cart"}),
        ("click", 1, 80, {"0": "impression", "1": "click"}),  # shown again
    ],
)
def test_the_zero_of_a_flag_that_takes_a_one_back_was_not_only_shown(
    tmp_path: Path, flag: str, back: int, count: int, kinds: dict[str, str]
) -> None:
    """As many ones as zeros, of which every `back`-th is of the same pair, the others of another."""
    rows = [
        {
            "user_id": f"u{n // 2 % 9}",
            "item_id": f"i{n // 2}-{n % 2 * (n // 2 % back > 0)}",
            flag: 1 - n % 2,
            "ts": n + 10**9,
        }
        for n in range(count)
    ]
    first = first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
    assert parse_config(first.text).data.events.event_types == kinds
    told = ("an earlier act is taken back by 0 of favorite (40 of 80 rows)",)
    assert first.left_out == (told if len(kinds) == 1 else ())


def test_a_type_is_found_by_its_words_for_what_is_taken_back_too(tmp_path: Path) -> None:
    words = ["vista_anuncio", "favorito", "quitar_favorito", "raro", "rarissimo"]
    rows = [{key: value for key, value in row.items() if key != "action"} | {"w": row["action"]} for row in log(words)]
    first = first_config(write(rows, tmp_path / "e.csv"), None, None, "x")
    assert parse_config(first.text).data.events.columns["event_type"] == "w"
