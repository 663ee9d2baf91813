"""The words for what is done with contracts: asked for, applied for, decided, signed and ended."""

from __future__ import annotations

import re
from collections.abc import Sequence

from souk.ingest.guess.names import FILLERS, OBJECTS
from souk.ingest.profile import plain, snake
from souk.schema import EventType

CONTRACTS = {"contract", "contracts", "policy", "policies", "account", "accounts", "agreement", "loan", "insurance",
             "mortgage", "vertrag", "vertraege", "police", "policen", "konto", "kredit", "versicherung", "contrat",
             "contrats", "compte", "contrato", "contratos", "cuenta", "poliza", "polizas", "contratto", "contratti",
             "conto", "polizza", "polizze", "conta", "apolice"}  # fmt: skip
SIGNED = {"signed", "sign", "signature", "concluded", "issued", "bound", "abgeschlossen", "abschluss",
          "unterschrieben", "signe", "souscrit", "souscription", "firmado", "firmada",
          "contratado", "contratada", "contratacion", "firmato", "sottoscritto", "sottoscritta", "assinado",
          "assinada"}  # fmt: skip
ACCOUNTS = {"account", "accounts", "konto", "compte", "cuenta", "conto", "conta"}
OPENED = {"opened", "eroeffnet", "eroeffnung", "ouvert", "abierta", "aperto", "aberta"}  # a policy that is, is read
ENDED = {"terminated", "termination", "surrendered", "lapsed", "revoked", "rescinded", "gekuendigt", "kuendigung",
         "resilie", "resiliation", "rescindido", "rescindida", "disdetta", "rescisao"}  # fmt: skip
# Of one word.
WHOLE = {
    **dict.fromkeys(("signed", "unterschrieben", "vertragsabschluss", "vertragsunterzeichnung", "kontoeroeffnung",
                     "policenausstellung"), EventType.PURCHASE),
    **dict.fromkeys(("kuendigung", "gekuendigt", "vertragskuendigung", "resiliation", "disdetta"), EventType.RETURN),
    **dict.fromkeys(("apply", "applied", "quote", "quoted", "angebotsanfrage", "antragstellung", "devis", "postuler",
                     "bewerben", "beworben", "bewerbung", "rfq", "requestforquotation", "requestforquote",
                     "preisanfrage"), EventType.CART),
}  # fmt: skip
# What is asked for before there is a contract, and what is done with it.
ASKED_FOR = {"quote", "quotes", "quotation", "application", "proposal", "antrag", "kreditantrag", "angebot",
             "offerte", "devis", "demande", "solicitud", "cotizacion", "preventivo", "richiesta", "proposta",
             "cotacao"}  # fmt: skip
REQUESTED = {"requested", "request", "get", "calculated", "started", "start", "begun", "begin", "submitted", "submit",
             "completed", "gestellt", "gestartet", "begonnen", "angefordert", "eingereicht", "abgeschickt", "berechnet",
             "demande", "demandee", "envoyee", "commencee", "iniciada", "enviada", "solicitada", "inviata", "avviata",
             "richiesto"}  # fmt: skip
APPROVED = {"approved", "approval", "granted", "genehmigt", "bewilligt", "approuvee", "acceptee", "aprobada",
            "approvata", "aprovada"}  # fmt: skip
REFUSED = {"rejected", "rejection", "declined", "denied", "refused", "abgelehnt", "ablehnung", "refusee", "rechazada",
           "denegada", "rifiutata", "respinta", "recusada", "negada"}  # fmt: skip
OFFERED = {"offer", "offers", "counteroffer", "rfq", *ASKED_FOR}
LOST = {"lost", "expired", "lapsed", "withdrawn", "verloren", "abgelaufen", "perdu", "perdue", "perdida"}
PROCEEDINGS = {"credit", "underwriting", "kyc", "scoring", "bonitaet"}
LITTLE = {"by", "bank", "insurer", "online", "within", "days", "day", "tagen", "der", "the"}
# In names of columns, a contract's number or begin. `policy_id` may be that of an experiment.
CONTRACT_NOUNS = {"contract", "policy", "contrat", "contrato", "contratto", "poliza", "polizza", "apolice", "vertrag"}
CONTRACT_PARTS = {"no", "nr", "number", "num", "numero", "nummer", "start", "begin", "inception"}
GERMAN = re.compile(r"(vertrags?|policen?|versicherungs?(schein)?)(nr|nummer|beginn|start|abschluss|datum)")
CONTRACT_FILES = {"holdings", "contracts", "policies", "vertraege", "policen", "contrats", "contratos", "contratti",
                  "polizas", "polizze"}  # fmt: skip


def contract_act(all_words: Sequence[str]) -> EventType | None:
    """What words say that was done with a contract: it was asked for (a cart), signed (a purchase) or ended (a return);
    None where they speak of something else.

    Args:
        all_words: of a value, in small letters.
    """
    if whole := WHOLE.get("".join(word for word in all_words if word not in OBJECTS)):
        return whole
    words = _telling(all_words)
    if words & ASKED_FOR and words & REQUESTED and words <= ASKED_FOR | REQUESTED | CONTRACTS:
        return EventType.CART
    if not CONTRACTS & {*all_words}:
        return None
    rest = words - CONTRACTS
    signed = SIGNED | OPENED if ACCOUNTS & words else SIGNED
    if rest and rest <= signed:
        return EventType.PURCHASE
    return EventType.RETURN if rest and rest <= ENDED else None


def without_contracts(words: Sequence[str]) -> list[str]:
    """The words but those for a contract and for the days within which something was done: of `contract_cancelled_14d`
    what was done; as they are where no contract is among them."""
    if not CONTRACTS & {*words}:
        return [*words]
    return [word for word in words if word not in CONTRACTS | LITTLE and not word[:1].isdigit()]


def decides(text: str) -> bool:
    """Whether a value says that the shop approved or refused what a user asked for, as `application_rejected`, or that
    what it offered came to nothing, as `quote_lost`."""
    all_words = snake(text).split("_")
    words = _telling(all_words)
    if {*all_words} & OFFERED and words & (REFUSED | LOST) and words <= REFUSED | LOST | OFFERED:
        return True
    verdicts, asked = APPROVED | REFUSED, ASKED_FOR | CONTRACTS | PROCEEDINGS
    return bool(words & verdicts) and words <= verdicts | asked and (bool(words & asked) or plain(text) in verdicts)


def approves(text: str) -> bool:
    """Whether it was approved."""
    return bool(APPROVED & {*snake(text).split("_")})


def _telling(words: Sequence[str]) -> set[str]:
    """The words that say something; what asks for a contract does, though it may be an item's, too."""
    objects = (OBJECTS | FILLERS) - ASKED_FOR - REQUESTED
    return {word for word in words if word not in LITTLE | objects and not word[:1].isdigit()}
