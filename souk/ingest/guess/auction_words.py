"""The words for what is done at auctions, and for what comes of it, as a bid that another exceeds."""

from __future__ import annotations

from collections.abc import Sequence

from souk.ingest.profile import snake
from souk.schema import EventType

BIDS = {"bid", "bids", "bidding", "rebid", "gebot", "gebote", "geboten", "mitgeboten", "puja", "pujas", "enchere",
        "encheres"}  # fmt: skip
AUCTIONED = {"auction", "auctions", "lot", "lots", "item", "auktion", "auktionen", "los", "artikel", "subasta", "lote",
             "asta", "lotto", *BIDS}  # fmt: skip
HOW = {"placed", "place", "made", "make", "submitted", "submit", "raised", "increased", "increase", "max", "maximum",
       "proxy", "auto", "automatic", "new", "first", "higher", "set", "confirmed", "abgegeben", "erhoeht", "abgeben",
       "realizada", "placee", "on", "auf"}  # fmt: skip
WON = {"won", "gewonnen", "ersteigert", "zugeschlagen", "gagnee", "gagne", "ganada", "ganado", "vinta", "vinto"}
WITHDRAWN = {"retracted", "retract", "withdrawn", "withdraw", "cancelled", "canceled", "cancel", "zurueckgezogen",
             "zurueckgenommen", "retiree", "retirada", "ritirata"}  # fmt: skip
# What happens to a bidder, or to what is sold.
OUTBID = {"outbid", "overbid", "ueberboten", "surencheri", "surenchere"}
LOST = {"lost", "lose", "verloren", "perdue", "perdida", "persa", "ended", "closed", "expired", "unsold", "beendet",
        "abgelaufen", "terminee", "finalizada", "terminata"}  # fmt: skip
RESERVE = {"reserve", "met", "not", "reached", "mindestpreis", "nicht", "erreicht", "price"}
PAYMENTS = {"payment", "payments", "invoice", "invoices", "zahlung", "rechnung", "paiement", "facture", "pago",
            "factura", "pagamento", "fattura"}  # fmt: skip
PAID = {"paid", "received", "completed", "made", "succeeded", "success", "successful", "confirmed", "captured",
        "settled", "cleared", "bezahlt", "beglichen", "eingegangen", "erhalten", "recu", "payee", "recibido",
        "pagada", "ricevuto", "pagata", "recebido", "paga"}  # fmt: skip
RECEIVED = {"zahlungseingang", "zahlungerhalten"}  # of one word


def auction_act(all_words: Sequence[str]) -> EventType | None:
    """What words say that was done at an auction, or after it: a bid (a cart), a lot that was won or a payment (a
    purchase); None where they speak of something else.

    Args:
        all_words: of a value, in small letters.
    """
    words = {*all_words}
    if words & BIDS and words <= BIDS | AUCTIONED | HOW:
        return EventType.CART
    if words & WON and words <= WON | AUCTIONED:
        return EventType.PURCHASE
    return EventType.PURCHASE if _paid(words) else None


def settles(text: str) -> bool:
    """Whether a value says that something was paid, and not that it was bought."""
    words = {*snake(text).split("_")}
    return _paid(words) or (bool(words & {"paid", "bezahlt"}) and words <= {"paid", "bezahlt", "order", *AUCTIONED})


def _paid(words: set[str]) -> bool:
    return bool(RECEIVED & words or (words & PAYMENTS and words & PAID and words <= PAYMENTS | PAID))


def withdraws(words: Sequence[str]) -> bool:
    """Whether words say that a bid is taken back."""
    return bool(BIDS & {*words}) and bool(WITHDRAWN & {*words})


def befalls(text: str) -> bool:
    """Whether a value says what others, or the end of an auction, did to a bidder or a lot: `outbid`, `auction_lost`,
    `reserve_not_met`."""
    words = {*snake(text).split("_")}
    if words & OUTBID or {"out", "bid"} == words:
        return True
    if "reserve" in words or "mindestpreis" in words:
        return len(words) > 1 and words <= RESERVE
    return bool(words & LOST) and bool(words & AUCTIONED) and words <= LOST | AUCTIONED
