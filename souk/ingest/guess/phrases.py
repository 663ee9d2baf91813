"""What a value of several words, as `save_to_cookbook`, says that a user did."""

from __future__ import annotations

from collections.abc import Sequence

from souk.ingest.guess.auction_words import auction_act, withdraws
from souk.ingest.guess.contract_words import contract_act, without_contracts
from souk.ingest.guess.names import ADDED, FILLERS, OBJECTS, SELLERS, SHORTEST, kind_of
from souk.ingest.profile import plain, snake
from souk.schema import EventType

# Of one word, or of one and what items are: what is not wanted any more, or never was.
REFUSALS = ("pass", "reject", "unmatch", "unmatched", "swipeleft", "leftswipe", "swipedleft", "nope", "report",
            "reported")  # fmt: skip
# Beside words that nobody knows they still say that nothing is wanted; what was skipped or passed may have been a step.
REFUSING = {*REFUSALS, "rejected", "skip", "skipped", "dislike", "disliked", "block", "blocked", "decline", "declined",
            "denied", "uninterested"}  # fmt: skip
# The last word of what was shown or clicked, whatever stands before it; a look may be one at several at once.
LAST = {"impression": EventType.IMPRESSION, "impressions": EventType.IMPRESSION, "click": EventType.CLICK,
        "clicks": EventType.CLICK, "clicked": EventType.CLICK}  # fmt: skip
SHARED = {"share", "shared", "geteilt", "teilen"}
# Acts that are too common as words to tell one in the name of a column.
ACTS = {
    **dict.fromkeys(("displayed", "rendered", "inview", "viewable"), EventType.IMPRESSION),
    **dict.fromkeys(("print", "printed", "share", "shared", "upvote", "upvoted", "thumbsup", "gedruckt", "drucken",
                     "geteilt", "teilen", "partager", "partage", "imprimer", "imprime", "compartir", "compartido",
                     "imprimir", "impreso"), EventType.CART),
    **dict.fromkeys(("cooked", "cookedit", "icookedthis", "madeit", "imadeit", "imadethis", "madethis", "cooksnap",
    "nachgekocht",
                     "cuisine", "cocinado", "cucinato"), EventType.PURCHASE),
    **dict.fromkeys(("reorder", "reordered", "refill", "refilled", "refillrequested", "requestrefill", "refillrequest",
                     "repurchase", "nachbestellt", "nachbestellung", "dispensed", "prescriptionfilled",
                     "prescriptionredeemed", "rezepteingeloest"), EventType.PURCHASE),
    **dict.fromkeys(("prescriptionuploaded", "uploadprescription", "prescriptionsubmitted", "rezepthochgeladen",
                     "rezepteingereicht", "notifyme"), EventType.CART),
    **dict.fromkeys(("creditnote", "creditmemo", "gutschrift", "rma", "rmacreated", "rmarequested"), EventType.RETURN),
    **dict.fromkeys(("dislike", "disliked", "downvote", "downvoted", "thumbsdown", "nomegusta", "jenaimepas",
                     "nonmipiace", "naogostei", "gefaelltmirnicht", *REFUSALS), EventType.HIDE),
    **dict.fromkeys(("superlike", "superliked"), EventType.CART),
}  # fmt: skip
# Where something is shown or opened, which changes nothing of that; of what an item's own page shows a look, too.
PICTURES = {"photo", "photos", "picture", "pictures", "image", "images", "gallery", "floorplan", "bild", "bilder",
            "galerie", "foto", "fotos", "bildergalerie", "fotogalerie", "galeria", "galleria"}  # fmt: skip
SURFACES = {"search", "result", "results", "serp", "feed", "carousel", "widget", "banner", "recommendation",
            "recommendations", "rec", "recs", "suche", "suchergebnis", "suchergebnisse", "treffer", "empfehlung",
            "empfehlungen", "recherche", "resultat", "resultats", "busqueda", "resultado", "resultados", "ricerca",
            "risultato", "risultati", "busca", "listado", "ergebnisliste", *PICTURES}  # fmt: skip
# A look at several at once is no choice among them.
LISTS = {"listado", "ergebnisliste", "list", "results", "serp", "feed", "carousel", "liste", "suchergebnisse",
         "trefferliste", "resultats",
         "resultados", "risultati"}  # fmt: skip
SEEN = {"view", "viewed", "seen", "ansicht", "angesehen", "vue", "vista", "visto"}
PUT = {*ADDED, "save", "saved", "put", "gespeichert", "hinzugefuegt", "hinzufuegen", "anadir", "anadido", "agregar",
       "agregado", "guardar", "guardado", "ajout", "ajoute", "ajouter", "aggiungi", "aggiunto", "salva", "salvato",
       "adicionar", "adicionado", "salvar"}  # fmt: skip
INTO = {"to", "into", "in", "ins", "auf", "zu", "zum", "zur", "al", "en", "au", "aux", "dans", "alla", "ai", "ao",
        "aos"}  # fmt: skip
# Before a noun; they say nothing of an act.
LITTLE = {*INTO, "a", "the", "of", "on", "at", "from", "it", "this", "der", "die", "das", "den", "dem", "des", "im",
         "von",
          "vom", "la", "le", "les", "el", "los", "las", "lo", "il", "i", "o", "os", "as", "de", "del", "du", "da", "do",
          "dos", "na", "sur"}  # fmt: skip
# Where users keep what they mean to take: what is added to it is as good as in a cart.
KEPT = {"cookbook", "recipebox", "collection", "playlist", "library", "board", "plan", "planner", "mealplan",
        "watchlist", "readinglist", "shoppinglist", "list", "registry", "bag", "favorites", "favourites",
        "calendar", "kochbuch",
        "einkaufsliste", "wochenplan", "sammlung", "merkliste", "favoriten", "carnet", "liste", "lista",
        "recetario", "ricettario", "planning", "coleccion"}  # fmt: skip
PHONES = {"phone", "telephone", "telefon", "tel", "telefono", "telefone"}
CALLED = {"reveal", "revealed", "call", "called"}
# Of a number whatever is done with it; a phone itself may be what is sold.
NUMBERS = {"number", "phonenumber", "telefonnummer", "rufnummer", "numero"}
REVEALED = {*CALLED, *NUMBERS, "show", "shown", "view", "viewed", "click", "clicked", "angezeigt", "anzeigen",
         "afficher",
            "affiche", "affichage", "mostrar", "mostrado", "ver", "visto", "vedi"}  # fmt: skip
# A date at which what is offered is looked at: whoever books one has bought nothing.
VISITS = {"viewing", "viewings", "appointment", "showing", "besichtigung", "besichtigungstermin", "probefahrt",
          "testdrive", "visita", "visite"}  # fmt: skip
ARRANGED = {"book", "booked", "booking", "request", "requested", "schedule", "scheduled", "arrange", "arranged",
            "confirmed", "gebucht", "angefragt", "vereinbart", "anfrage", "demande", "demandee", "reservada",
            "reserva", "agendada",
            "solicitada", "richiesta", "prenotata"}  # fmt: skip
WHOM = {"agent", "agency", "broker", "owner", "landlord", "dealer", "makler", "anbieter", *SELLERS}
QUESTIONS, PUT_TO = (
    {"question", "frage", "pregunta", "domanda", "pergunta"},
    {"asked", "ask", "sent", "submitted", "gestellt", "posee", "enviada", "inviata", "to", *WHOM},
)
TALK = {"email", "mail", "call", "called", "whatsapp", "sms", "chat"}
ASKED = {
    "form",
    "sent",
    "send",
    "request",
    "requested",
    "formular",
    "gesendet",
    "formulaire",
    "formulario",
    "enviado",
    "enviada",
    "envoi",
    "envoye",
    "inviato",
    *WHOM,
}
REMOVED = {"retrait", "remove", "removed", "removal", "delete", "deleted", "clear", "cleared", "undo", "undone",
         "entfernt",
           "entfernen", "geloescht", "loeschen", "supprimer", "supprime", "suppression", "retirer", "eliminar",
           "eliminado", "eliminada", "quitar", "quitado", "rimuovi", "rimuovere", "rimosso", "rimossa", "remover",
           "removido", "removida"}  # fmt: skip
# To be told when it is there again.
WAITING = {"notify", "waitlist", "waitinglist", "warteliste"}
WAITED_FOR = {"me", "back", "stock", "instock", "alert", "join", "joined", "when", "available", "request", "requested",
              "subscribe", "subscribed", *WAITING}  # fmt: skip
REPEATED = {"refill", "repeat", "again", "recurring", "autoship", "subscription", "standing"}  # beside an order
# Of a return, how far it got.
BEGUN = {"opened", "open", "filed", "raised", "requested", "request", "initiated", "started", "issued", "received",
         "approved", "granted", "processed", "completed", "created", "beantragt", "eroeffnet", "gemeldet",
         "angemeldet", "eingegangen", "demandee", "solicitada", "richiesta"}  # fmt: skip
# What is put there is not wanted.
UNWANTED = {"blacklist", "blocklist", "blocked", "hidden", "ignore", "ignored", "ignorelist", "trash", "spam",
            "dislikes", "papierkorb", "corbeille", "papelera", "cestino", "lixeira"}  # fmt: skip
UNDONE = {"unfollow", "unfollowed", "unwatch", "unwatched", "entmerkt", "entmerken"}


def act_of(text: str) -> EventType | None:
    """The event type that a value goes by: its name, or what is left of its words without what it is done to, at last
    without what changes nothing of it. An order that is cancelled is a return, what is added to one is in a cart, and
    what happens to a page is a look or unknown: `booking_page` is no booking, and a checkout that ends is no return.
    `clicks` are as good as a click."""
    words = snake(text).split("_")
    single = [word.removesuffix("s") if len(word) > SHORTEST and word[-2:] != "ss" else word for word in words]
    return _act_of(text, words) or (_act_of("".join(single), single) if single != words else None)


def undoes(text: str) -> bool:
    """Whether a value says that an earlier act is taken back, as `unsave` or `remove_from_cart`; what was bought is
    returned."""
    words = snake(text).split("_")
    if any(
        word in UNDONE or (word[:2] == "un" and kind_of(word[2:]) is EventType.CART) for word in [*words, plain(text)]
    ):
        return True
    kinds = {kind_of(word) for word in words}
    if withdraws(words) or (VISITS & {*words} and EventType.RETURN in kinds):
        return True
    kept = {EventType.CART, EventType.RATING} & kinds or KEPT & {*words} or words[1:2] == ["from"]
    return bool(REMOVED & {*words}) and bool(kept) and not {EventType.PURCHASE, EventType.RETURN} & kinds


def _act_of(text: str, all_words: Sequence[str]) -> EventType | None:
    words = [word for word in all_words if word not in OBJECTS]
    if known := _kind(text) or _kind("".join(words)):
        return known
    if "approval" in words and "for" in words:  # who buys for a firm
        words = [word for word in words if word not in ("for", "approval")]
    if {*words} <= WAITED_FOR | PUT | LITTLE and (WAITING & {*words} or {"stock", "subscribe"} <= {*words}):
        return EventType.CART
    if known := contract_act(all_words) or auction_act(all_words):
        return known
    words = without_contracts(words)
    if not PUT.isdisjoint(words) and not UNWANTED.isdisjoint(words):
        return EventType.HIDE
    if _leads(all_words) or _keeps(words):
        return EventType.CART
    if _lists({*words}):
        return EventType.IMPRESSION
    return _together(words)


def _together(words: Sequence[str]) -> EventType | None:
    """What words for one act, and others that change nothing of it, say together."""
    kinds = {kind_of(word) or _given_back(word) for word in words if word not in FILLERS | LITTLE}
    several = next(iter(kinds)) if len(kinds) == 1 else _shown_or_opened(words)
    if several is None and {kind_of(word) for word in words if word not in FILLERS | REPEATED} == {EventType.PURCHASE}:
        several = EventType.PURCHASE
    if several is EventType.PURCHASE and not ADDED.isdisjoint(words):
        several = EventType.CART
    if "page" in words and several is not EventType.CLICK:
        several = None
    undone = kinds == {EventType.PURCHASE, EventType.RETURN} and "checkout" not in words
    return several or (EventType.RETURN if undone or _demands(words) else None) or _last(words)


def _given_back(word: str) -> EventType | None:
    return EventType.RETURN if ACTS.get(word) is EventType.RETURN else None


def _last(words: Sequence[str]) -> EventType | None:
    """What is said of something that nobody knows: `teaser_impression`, `newsletter_click`, `share_facebook`."""
    if len(words) < 2 or any(_kind(word) for word in words[1:-1]):
        return None
    if words[0] in SHARED and not _kind(words[-1]):
        return EventType.CART
    strange = not _kind(words[0]) and {*words}.isdisjoint({"no", "not", "page", *PHONES})
    return LAST.get(words[-1]) if strange else None


def refuses(text: str) -> bool:
    """Whether a value says, beside words that nobody knows, that something is not wanted: `card_rejected`; what was
    seen or done with what refuses is no refusal (`report_opened`)."""
    words = snake(text).split("_")
    rest = [word for word in words if word not in REFUSING]
    return len(rest) < len(words) and not any(_kind(word) for word in rest)


def _demands(words: Sequence[str]) -> bool:
    """Whether words say that a return, or a dispute, began or was granted: `dispute_opened`."""
    rest = {word for word in words if word not in LITTLE and kind_of(word) is not EventType.RETURN}
    return bool(rest) and len(rest) < len({*words} - LITTLE) and rest <= BEGUN | {"order", "sale"}


def _kind(text: str) -> EventType | None:
    return kind_of(text) or ACTS.get(plain(text))


def _shown_or_opened(words: Sequence[str]) -> EventType | None:
    """The look that words tell beside where it was: `search_result_shown`; a `banner_view` may be one of many."""
    several = SURFACES | LISTS if SEEN.isdisjoint(words) else PICTURES
    kinds = {_kind(word) for word in words if word not in FILLERS | LITTLE | several}
    return next(iter(kinds)) if len(kinds) == 1 and kinds <= {EventType.IMPRESSION, EventType.CLICK} else None


def _leads(words: Sequence[str]) -> bool:
    """Whether words say that who offers something is asked about it, or for a date to see it: `show_phone_number`."""
    own = {*words} - (OBJECTS - SELLERS) - FILLERS
    if own & PHONES or own & NUMBERS - {"number", "numero"}:
        return (
            bool(own & (CALLED | NUMBERS))
            and bool(own & REVEALED - {"number", "numero"})
            and own <= PHONES | REVEALED | WHOM
        )
    if own & VISITS:
        return bool(own & ARRANGED) and own <= VISITS | ARRANGED
    if own & QUESTIONS:
        return bool(own & PUT_TO) and own <= QUESTIONS | PUT_TO | WHOM
    if own & TALK:
        return bool(own & WHOM) and own <= TALK | WHOM | {"click", "clicked"}
    carts = {word for word in own if kind_of(word) is EventType.CART}
    return bool(carts) and bool(own - carts) and own - carts <= ASKED


def _keeps(words: Sequence[str]) -> bool:
    """Whether words say that something is put where it is kept: `save_to_cookbook`, `meal_plan_add`."""
    if words[0:1] and words[0] in INTO and {*words} - LITTLE <= KEPT and not KEPT.isdisjoint(words):
        return True  # "auf die Einkaufsliste"
    if PUT.isdisjoint(words):
        return False
    place = next((at for at, word in enumerate(words) if word in INTO), len(words))
    kept = not KEPT.isdisjoint(words) or any(kind_of(word) is EventType.CART for word in {*words} - PUT)
    return bool({*words[:place]} & PUT and words[place + 1 :]) or kept


def _lists(words: set[str]) -> bool:
    """Whether words say that a list was seen, and nothing of it chosen: `view_item_list`."""
    return bool(words & LISTS and words & SEEN) and words <= LISTS | SEEN | SURFACES | FILLERS
