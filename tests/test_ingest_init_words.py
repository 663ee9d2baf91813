"""`souk init`: the words of bookings, of German files and of prices, and what it does where it knows none."""

from pathlib import Path

import pytest

from souk.cli import main
from souk.ingest.guess.first_config import first_config
from souk.schema import EventType, Kind
from tests.test_ingest_first_config import Table, init, write

BOOKED = ["book", "booking", "Booked", "reserve", "buchen", "gebucht"]
CANCELLED = ["cancel", "cancelled", "canceled", "Cancellation", "storno", "storniert", "refund", "refunded"]


def bookings(column: str, kinds: list[str], count: int = 60) -> Table:
    return [
        {"user_id": f"k{n % 11}", "item_id": f"i{n % 7}", column: kinds[n % len(kinds)], "time": 1_700_000_000 + n}
        for n in range(count)
    ]


@pytest.mark.parametrize("column", ["aktion", "Vorgangsart", "action", "verb"])
def test_bookings_are_bought_and_cancellations_returned(tmp_path: Path, column: str) -> None:
    rows = bookings(column, ["view", *BOOKED, *CANCELLED])
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.columns["event_type"] == column
    expected = dict.fromkeys(BOOKED, EventType.PURCHASE) | dict.fromkeys(CANCELLED, EventType.RETURN)
    assert config.data.events.event_types == {"view": EventType.CLICK} | expected


@pytest.mark.parametrize(
    "words",
    [
        ["affichage", "vue", "panier", "achat", "remboursement", "avis"],
        ["Affiché", "Voir", "ajout au panier", "commandé", "Remboursé", "note"],
        ["affichage", "consultation", "favori", "commande", "retour", "Évaluation"],
        ["impression", "clic", "favoris", "Réservation", "annulation", "avis"],
    ],
)
def test_french_words_are_known_with_their_accents_or_without(tmp_path: Path, words: list[str]) -> None:
    _, config = init(tmp_path, write(bookings("action", words), tmp_path / "e.csv"))
    kinds = ("impression", "click", "cart", "purchase", "return", "rating")
    expected = {word: EventType(kind) for word, kind in zip(words, kinds, strict=True)}
    assert config.data.events.event_types == expected


@pytest.mark.parametrize(
    "words",
    [
        ["listing_view", "save", "message_seller", "purchase", "dispute"],
        ["ViewItem", "add_to_wishlist", "contactSeller", "item-purchased", "Complaint"],
        ["view ad", "Save listing", "MAKE_OFFER", "offer_bought", "item_returned"],
        ["Anzeige ansehen", "gemerkt", "Nachricht", "Artikel gekauft", "Reklamation"],
    ],
)
def test_words_of_classified_ads_are_known_whatever_they_are_done_to(tmp_path: Path, words: list[str]) -> None:
    rows = bookings("action", words)
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    kinds = ("click", "cart", "cart", "purchase", "return")
    assert config.data.events.event_types == {word: EventType(k) for word, k in zip(words, kinds, strict=True)}


@pytest.mark.parametrize(
    "words",
    [
        ["event_view", "basket_add", "order_placed", "order_cancelled"],
        ["viewEvent", "favourite_add", "purchase_completed", "refund_event_cancelled"],
        ["page_view", "add_ticket_to_cart", "Order confirmed", "refund_customer"],
        ["product_page_opened", "add_to_order", "order_submitted", "order_cancelled"],
        ["hotel_page_view", "favourite_hotel", "Hotel booked", "hotel_cancelled"],
        ["book_page_view", "book_added", "checkout_completed", "return_book"],
        ["Veranstaltung angesehen", "Ticket merken", "Tickets gekauft", "booking_cancelled"],
        ["course_viewed", "wishlist_added", "enrolled", "refunded"],
        ["lesson_watched", "Course bookmarked", "course_enrollment", "unenrolled"],
        ["preview_played", "save_course", "Kurs gebucht", "enrolment_cancelled"],
    ],
)
def test_words_are_known_with_what_stands_beside_them(tmp_path: Path, words: list[str]) -> None:
    _, config = init(tmp_path, write(bookings("action", words), tmp_path / "e.csv"))
    kinds = ("click", "cart", "purchase", "return")
    assert config.data.events.event_types == {word: EventType(k) for word, k in zip(words, kinds, strict=True)}


def test_what_only_begins_an_act_is_not_taken_for_it(tmp_path: Path) -> None:
    others = ["item", "search_listings", "begin_checkout", "order_failed", "view_cart", "add_to", "customer", "event"]
    others += ["booking_page", "checkout_page", "cart_page", "checkout_cancelled", "return_to_checkout"]
    found = first_config(write(bookings("action", [*others, "view"]), tmp_path / "e.csv"), None, None, "x")
    assert sorted(found.unknown) == sorted(others)


@pytest.mark.parametrize("column", ["acción", "tipo", "evento", "que_hizo", "aktion", "Ereignis"])
@pytest.mark.parametrize(
    "words",
    [
        ["impresion", "ver", "carrito", "compra", "devolucion", "valoración", "ocultar"],
        ["Impresión", "vista", "me_gusta", "Pedido", "Reembolso", "reseña", "no me interesa"],
        ["impressione", "visualizzazione", "aggiungi al carrello", "acquisto", "reso", "recensione", "nascondi"],
        ["Impressão", "clique", "adicionar ao carrinho", "compra", "devolução", "avaliação", "ocultar"],
        ["angezeigt", "ansehen", "warenkorb", "kauf", "retoure", "bewertung", "ausblenden"],
        ["Einblendung", "Angesehen", "Merkzettel", "gekauft", "Rücksendung", "bewertet", "ausgeblendet"],
        ["eingeblendet", "Klick", "In den Warenkorb", "Bestellung", "ruecksendung", "Rezension", "Kein Interesse"],
        ["gezeigt", "Ansicht", "Wunschliste", "Buchung", "Rückgabe", "bewerten", "nicht interessiert"],
        ["gezeigt", "geöffnet", "gefällt mir", "bestellt", "Stornierung", "rezensiert", "blockiert"],
    ],
)
def test_words_of_other_languages_are_known_in_a_column_of_any_name(
    tmp_path: Path, column: str, words: list[str]
) -> None:
    """One word that nobody knows (`raro`) keeps no column from being the type."""
    text, config = init(tmp_path, write(bookings(column, [*words, "raro"]), tmp_path / "e.csv"))
    kinds = ("impression", "click", "cart", "purchase", "return", "rating", "hide")
    expected = {word: EventType(kind) for word, kind in zip(words, kinds, strict=True)}
    assert config.data.events.columns["event_type"] == column
    assert config.data.events.event_types == {**expected, "raro": EventType.CLICK}
    assert "raro: click  # unknown to Souk" in text


@pytest.mark.parametrize(
    ("column", "values", "why"),
    [
        ("status", ["paid", "open", "cancelled", "Refunded"], "skip: {status: [Refunded, cancelled]} leaves out"),
        ("order_state", ["shipped", "completed", "failed"], "skip: {order_state: failed} leaves out"),
        ("Status", ["delivered", "pending"], "orders, by Status (delivered, pending)"),
        ("estado", ["pagado", "cancelado"], "skip: {estado: cancelado} leaves out"),
        ("status", ["viewed", "purchased", "cancelled"], ""),
        ("stage", ["paid", "cancelled"], ""),
    ],
)
def test_a_status_of_orders_is_no_type_of_events(tmp_path: Path, column: str, values: list[str], why: str) -> None:
    """A cancelled order is one that was placed, and no second event."""
    text, config = init(tmp_path, write(bookings(column, values), tmp_path / "e.csv"))
    if why:
        assert config.data.events.constants == {"event_type": "purchase"} and not config.data.events.event_types
        assert why in text.partition("event_type: purchase  # ")[2].splitlines()[0]
        assert f"# left out: {column} (" in text
    else:
        assert config.data.events.columns["event_type"] == column


def test_a_status_of_anything_says_nothing_of_orders(tmp_path: Path) -> None:
    text, config = init(tmp_path, write(bookings("status", ["open", "closed"]), tmp_path / "e.csv"))
    assert config.data.events.constants == {"event_type": "click"} and "OR IS IT status (open, closed)?" in text


def test_a_column_of_books_is_no_booking(tmp_path: Path) -> None:
    rows = [
        {
            **row,
            "item_id": f"i{n * 7919 % 101 % 13}",
            "book_shelf": "ab"[n * 7919 % 103 % 2],
            "booking": "yn"[n % 3 % 2],
        }
        for n, row in enumerate(bookings("action", ["view", "book"], 400))
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.jsonl"))
    assert config.columns.events == {"book_shelf": Kind.CATEGORICAL}
    assert "# left out: booking (SEEMS TO SAY WHAT THE USER DID" in text


@pytest.mark.parametrize("price", ["Preis", "preis_chf", "preis_eur", "price_usd", "Price (GBP)", "price_eur"])
def test_german_files_and_prices_of_a_currency_are_known(tmp_path: Path, price: str) -> None:
    rows = [{"kunde": row.pop("user_id"), **row, price: n + 0.5} for n, row in enumerate(bookings("aktion", BOOKED))]
    goods = [
        {"item_id": f"i{n}", "Bezeichnung": f"Zoo no {n}", "kategorie": "a/b", price: n + 0.5, "registriert": 3}
        for n in range(7)
    ]
    people = [{"kunde": f"k{n}", "registriert": f"2023-05-0{n + 1}", "ort": "ab"[n % 2]} for n in range(9)]
    paths = [write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"), write(people, tmp_path / "u.csv")]
    _, config = init(tmp_path, *paths)
    assert config.data.items is not None and config.data.users is not None
    assert config.data.events.columns["price"] == config.data.items.columns["price"] == price
    assert {"title": "Bezeichnung", "category": "kategorie"}.items() <= config.data.items.columns.items()
    assert config.data.users.columns == {"user_id": "kunde", "created_at": "registriert"}


def test_the_last_line_names_the_event_types_that_are_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kinds, said in (
        (
            ["tippen", "view", "wischen"],
            "event types tippen, wischen; say what they are under event_types, and then what engages",
        ),
        (["view"], ""),
    ):
        words = [
            "--events",
            write(bookings("aktion", kinds), tmp_path / "e.csv"),
            "--output",
            str(tmp_path / "my.yaml"),
            "--force",
        ]
        assert main(["init", *words]) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        data = f"--config {tmp_path / 'my.yaml'} --workspace .souk-my"
        assert f"`souk check {data}` tells" in last and last.endswith(f" Then: souk run {data}")
        assert said in last and ("NOT KNOWN and taken for clicks" in last) == bool(said)


@pytest.mark.parametrize(
    ("column", "more", "told"),
    [
        (
            "tipo",
            {},
            "CLICK, impressions, returns and purchases too, UNLESS tipo (ostaa, palauttaa, selata) IS THE TYPE",
        ),
        ("Vorgang", {"price": 3}, "PURCHASE, impressions, clicks and returns too, UNLESS Vorgang ("),
        ("device", {}, ""),  # what Souk knows is something else
    ],
)
def test_the_last_line_says_that_all_events_are_of_one_type_where_a_column_may_tell_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, more: dict[str, int], told: str
) -> None:
    before = {"device": "web", "channel": "x"} if column == "tipo" else {"device": "web"}
    rows = [
        {key: f"{text}{n % 2}" for key, text in before.items()} | row | more
        for n, row in enumerate(bookings(column, ["selata", "ostaa", "palauttaa"]))
    ]
    words = ["--events", write(rows, tmp_path / "e.csv"), "--output", str(tmp_path / "my.yaml")]
    assert main(["init", *words]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert told in last and ("EVERY EVENT IS TAKEN FOR A" in last) == bool(told)
    assert ("then map it to event_type and its values under event_types. Look at" in last) == bool(told)


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ([f"E{n:06}" for n in range(60)], True),
        ([str(9_000 + n * 7) for n in range(60)], True),
        ([f"E{n:06}" for n in range(58)] * 2, True),  # the last two come again
        ([f"E{n // 2}" for n in range(60)], False),  # orders
        (["ab"[n % 2] * (n + 1) for n in range(60)], False),  # words
        ([f"{n}.5" for n in range(60)], False),
    ],
)
def test_a_column_with_an_id_for_every_row_may_be_that_of_the_events(
    tmp_path: Path, ids: list[str], told: bool
) -> None:
    rows = [{"vorgang": ids[n], **row} for n, row in enumerate(bookings("aktion", ["view"]))]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert ("# left out: vorgang (OR IS IT event_id? Then map it; " in text) == told
    assert "event_id" not in config.data.events.columns
    named = [{"event_id": f"x{n}", **row} for n, row in enumerate(rows)]
    assert "OR IS IT event_id" not in init(tmp_path / "named", write(named, tmp_path / "e.csv"))[0]


@pytest.mark.parametrize("note", [100_200, 1])
@pytest.mark.parametrize(
    ("names", "quantity", "price"),
    [
        ("cliente,produto,data,quantidade,preco,nota", "quantidade", "preco"),
        ("cliente,producto,fecha,cantidad,precio,nota", "cantidad", "precio"),
        ("utilisateur,produit,date,quantité,prix,note", "quantité", "prix"),
        ("cliente,prodotto,data,quantità,prezzo,voto", "quantità", "prezzo"),
        ("Kunde,Artikel,Datum,Menge,Preis,Bewertung", "Menge", "Preis"),
    ],
)
def test_orders_are_bought_whatever_numbers_their_notes_have(
    tmp_path: Path, names: str, quantity: str, price: str, note: int
) -> None:
    """A `nota` with numbers as of invoices is no verdict; with those of stars it is one."""
    values = ((f"k{n % 11}", f"i{n % 7}", f"2024-05-{n % 28 + 1:02}", n % 3 + 1, 9.5, note + n % 5) for n in range(100))
    rows = [dict(zip(names.split(","), row, strict=True)) for row in values]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    bought = note > 1
    assert config.data.events.constants["event_type"] == ("purchase" if bought else "rating")
    assert config.data.events.columns.get("price", "price") == price
    assert (config.data.events.columns["value"] == quantity) == bought


@pytest.mark.parametrize(("name", "kinds"), [("sort_order", {"0": "impression", "1": "purchase"}), ("order_no", {})])
def test_a_flag_beside_the_order_of_a_list_is_an_act(tmp_path: Path, name: str, kinds: dict[str, str]) -> None:
    """Of what was bought, by the number of its order, it says how it was delivered."""
    rows = [row | {name: n % 5, "install": n % 2} for n, row in enumerate(bookings("x", ["a"]))]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.event_types == kinds


def test_the_word_for_a_kitchen_in_the_name_of_a_file_says_nothing(tmp_path: Path) -> None:
    _, config = init(tmp_path, write(bookings("x", ["a"]), tmp_path / "cuisine.csv"))
    assert config.data.events.constants["event_type"] == "click"
