"""The names that columns and event types go by in the files of others."""

from __future__ import annotations

from collections.abc import Container

from souk.ingest.profile import plain
from souk.schema import EventType

PRICES = ("price", "preis")
CURRENCIES = ("eur", "usd", "chf", "gbp")
# From when items can be had: when they came to be, but where users look at them long before, as at flats.
HAD_FROM = ("onsalefrom", "onsaleat", "onsaledate", "onsalesince", "salestart", "salesstart", "salestartdate",
            "salesstartdate", "availablefrom", "vorverkaufab", "vorverkaufsstart", "vvkstart", "verkaufsstart",
            "verkaufsbeginn", "vertriebsstart", "vertriebsbeginn")  # fmt: skip
# Verdicts in other languages; of what a user wrote none is a number.
RATINGS = ("sterne", "sternebewertung", "bewertung", "puntuacion", "calificacion", "valoracion", "estrellas", "etoiles",
           "note", "punteggio", "voto", "stelle", "nota", "avaliacao", "estrelas", "pontuacao")  # fmt: skip
BEST = 100  # that a verdict in these may be: an invoice is a `nota`, and stock has a `bewertung`
# Of what is bought.
QUANTITIES = ("quantity", "qty", "tickets", "ticketcount", "menge", "anzahl", "bestellmenge", "stueckzahl", "kwmeng",
              "fkimg", "cantidad", "quantite", "qte", "quantita", "qta", "quantidade", "qtd")  # fmt: skip
# What stands for users where no column has a likelier name: a device, an installation or a browser.
PSEUDONYMS = (
    "userpseudoid",
    "anonymousid",
    "distinctid",
    "fullvisitorid",
    "cookieid",
    "cookie",
    "advertisingid",
    "gaid",
    "idfa",
    "deviceid",
)
# Plain names (no case, no punctuation) that a contract column goes by, the likeliest first.
NAMES: dict[str, tuple[str, ...]] = {
    "event_id": ("eventid", "eventno", "eventnr", "eventnumber", "eventref", "eventkey", "eventuuid", "interactionid",
                 "rowid"),
    "user_id": ("userid", "user", "uid", "customerid", "customer", "visitorid", "memberid", "learnerid", "studentid",
                "clientid", "accountid",
                "reviewerid", "buyerid", "householdid", "householdkey", "personid", "shopperid",
                "guestid", "travellerid", "travelerid", "visitor", "member", "client", "reviewer", "reader", "buyer",
                "shopper", "household", "traveller", "traveler", "guest", "learner", "student", "bidderid", "bidder",
                "listenerid", "listener", "playerid", "player", "viewerid", "viewer", "subscriberid", "subscriber",
                "patronid", "patron", "borrowerid", "borrower", "passengerid", "applicantid",
                "kundennr",
                "kundennummer", "kundenid", "kunde", "nutzerid", "nutzer", "benutzerid", "benutzer", "idusuario",
                "usuarioid", "usuario", "idcliente", "cliente", "idutilisateur", "utilisateur", "idclient",
                "idutente", "utente", "idutilizador", "utilizador", "kunnr", "debitor", "debitornr", "loginid",
                "login", "besucherid", "besucher", "idvisiteur", "visiteur", "idvisitante", "visitante",
                "idvisitatore", "visitatore", "username"),
    "item_id": ("itemid", "item", "iid", "aid", "productid", "product", "articleid", "article", "movieid",
                "stockcode", "sku", "asin", "parentasin", "trackid", "bookid", "goodsid", "contentid", "songid",
                "videoid", "listingid", "courseid", "hotelid", "propertyid", "showid", "concertid", "performanceid",
                "ean", "gtin", "isbn", "upc", "plu", "hotel", "movie", "book", "film", "song", "track", "video",
                "listing", "course", "artikelnr", "artikelnummer", "artikelid", "artnr", "matnr", "materialnr",
                "materialnummer", "idproducto", "producto", "idarticulo", "articulo", "idproduit", "produit",
                "idarticle", "idprodotto", "prodotto", "idproduto", "produto", "idanuncio", "idannonce",
                "idannuncio", "idinmueble", "idbien", "idimmobile", "idimovel", "anzeigenid", "inseratid",
                "objektid", "objektnr", "exposeid", "trackuri", "trackmbid", "traid", "recordingid",
                "recordingmbid", "recordingmsid", "episodeid", "episodeuri", "lotid", "auctionid", "gameid", "game",
                "recipeid", "recipe", "jobid", "appid", "podcastid"),
    "event_type": ("eventtype", "event", "eventname", "action", "actiontype", "behavior", "behaviour", "behaviortype",
                   "interaction", "interactiontype", "aktion", "aktionstyp", "ereignis", "ereignistyp", "ereignisart",
                   "vorgangsart", "accion", "tipoaccion", "tipodeaccion", "acao", "tipoacao", "tipodeacao", "azione",
                   "tipoazione", "tipodiazione", "tipoevento", "tipodeevento", "tipodievento", "verb", "type"),
    "timestamp": ("timestamp", "time", "ts", "datetime", "eventtime", "date", "createdat", "unixtime", "invoicedate",
                  "unixreviewtime", "orderdate", "purchasedate", "tdat", "eventtimestamp", "transactiontimestamp",
                  "bestelldatum", "auftragsdatum", "belegdatum", "rechnungsdatum", "kaufdatum", "zeitpunkt",
                  "zeitstempel", "datum", "erdat", "audat", "fkdat"),
    "arrived_at": ("arrivedat", "receivedat"),
    "value": ("rating", "stars", "score", "overall", "value", *RATINGS, *QUANTITIES),
    "price": (*PRICES, *(f"{price}{currency}" for price in PRICES for currency in CURRENCIES), "unitprice", "netprice",
              "netunitprice", "salesprice", "amount", "salesvalue", "saleprice", "listprice", "pricepernight",
              "nightlyprice", "nightlyrate", "pricefrom", "minprice", "fromprice", "startingprice", "preisab",
              "abpreis", "nettopreis", "einzelpreis", "stueckpreis", "verkaufspreis", "netpr", "listenpreis", "precio",
              "preciounitario", "preciodeventa", "prix", "prixunitaire", "prixdevente", "prezzo", "prezzounitario",
              "prezzodivendita", "preco", "precounitario"),
    "session_id": ("sessionid", "session", "usersession", "sessionref", "sessionkey", "sessionno", "sessionuuid",
                   "visitid", "visitno", "visit", "basketid", "orderid", "invoiceno", "invoice", "receipt", "receiptid",
                   "receiptno", "bonnr", "orderno", "ordernumber", "invoiceid", "invoicenumber", "bestellnr",
                   "bestellnummer", "auftragsnr", "auftragsnummer", "belegnr", "belegnummer", "rechnungsnr",
                   "rechnungsnummer", "vbeln"),
    "request_id": ("requestid",),
    "dwell_seconds": ("dwellseconds", "dwell", "dwelltime", "dwells", "dwellsec", "timeonpage",
                      "timeonpages", "timeonpagesec", "timeonpageseconds", "secondsonpage", "dwelltimeseconds",
                      "dwelltimesec", "dwelltimes", "verweildauer", "verweildauersek", "verweildauersekunden",
                      "verweildauers"),
    "position": ("position", "rank", "slot", "resultrank", "resultposition", "listposition", "itemposition",
                 "searchrank", "searchposition", "displayposition", "gridposition", "itemlistindex", "posicion",
                 "posizione", "posicao", "trefferposition", "rang"),
    "propensity": ("propensity", "propensityscore", "pscore"),
    "device": ("device", "devicetype", "platform", "geraet", "geraetetyp", "plattform", "dispositivo", "appareil",
               "plateforme", "plataforma", "piattaforma"),
    "location": ("location", "country", "region", "city"),
    "surface": ("surface", "page", "placement"),
    "release": ("release",),
    "arm": ("arm",),
    "created_at": ("createdat", "created", "publishedat", "releasedate", "launchdate", "signupdate", "joinedat",
                   "published", "publicationdate", "pubdate", "released", "daterelease", "dateofrelease", "addedat",
                   "listedat", "signup", "signedupat", "registeredat", "registered", "registrationdate", "createdon",
                   "createddate", "datecreated", "creationdate", "creationtime", "postedat", "postedon", "dateposted",
                   "publishedon", "publishdate", "datepublished", "listedon", "listingdate", "datelisted", "addedon",
                   "dateadded", "registriert", "registriertam", "eingestelltam", "erstellt", "erstelltam",
                   "erstellungsdatum", "angelegt", "angelegtam", "publiziert", "publiziertam", "publikationsdatum",
                   "veroeffentlicht", "veroeffentlichtam", "veroeffentlichungsdatum", "erschienen", "erschienenam",
                   "erscheinungsdatum", "opened", "openedon", "openedat", "openingdate", "announced", "announcedat",
                   "announcedon", *HAD_FROM, "joined", "joinedon", "joindate", "datejoined", "membersince",
                   "customersince", "usersince", "kundeseit", "kundenseit", "mitgliedseit", "anlagedatum",
                   "listungsdatum", "gelistetam", "gelistetseit", "ersda", "submitted", "submittedat", "submittedon",
                   "submissiondate", "datesubmitted", "uploaded", "uploadedat", "uploaddate", "dateuploaded", "listed",
                   "onmarketdate", "onlineseit", "inseriertam", "datecreation", "datedecreation", "datepublication",
                   "datedepublication", "dateajout", "dateinscription", "datedinscription", "fechapublicacion",
                   "fechadepublicacion", "fechaalta", "fechadealta", "fechacreacion", "fechadecreacion",
                   "fecharegistro", "fechaderegistro", "eingereicht", "eingereichtam", "datapubblicazione",
                   "datadipubblicazione", "datapublicacao", "datadepublicacao", "datemiseenligne", "datedemiseenligne"),
    "available": ("available", "instock", "active", "isavailable", "isactive", "activeflag", "isinstock", "orderable",
                  "isorderable", "sellable", "issellable", "lieferbar", "verfuegbar", "bestellbar", "istaktiv"),
    "available_until": ("availableuntil", "availableto", "validuntil", "validto", "validthrough", "expires",
                        "expiresat", "expireson", "expiry", "expirydate", "expiration", "expirationdate", "endsat",
                        "endson", "enddate", "endtime", "endedat", "closesat", "closingdate", "closedat", "eventdate",
                        "removedat", "removedon", "soldat", "soldon", "soldoutat", "delistedat", "withdrawnat",
                        "discontinuedat", "discontinuedon", "discontinueddate", "datediscontinued", "discontinued",
                        "withdrawn", "withdrawndate", "salesend", "salesenddate", "onsaleuntil", "soldto",
                        "verkaufsende", "vertriebsende", "verkaufbis",
                        "unpublishedat", "retiredat", "retiredon", "retirementdate", "gueltigbis", "laeuftab",
                        "laeuftabam", "endetam", "ablaufdatum", "enddatum",
                        "verkauftam", "ausverkauftam", "cancelledat", "cancelledon", "canceledat", "canceledon",
                        "abgesagtam", "auslaufdatum", "auslistungsdatum", "ausgelistetam", "lieferbarbis",
                        "verfuegbarbis", "delisted", "delistedon", "delistingdate", "datedelisted", "unlistedat",
                        "offmarketdate", "solddate", "datesold", "deaktiviertam", "offlineseit", "datefin",
                        "datedefin", "dateretrait",
                        "dateexpiration", "fechabaja", "fechadebaja", "fechafin", "fechadefin", "fechaventa",
                        "fechadeventa", "datafine", "datafim"),
    "seller_id": ("sellerid", "seller", "vendor", "vendorid", "merchantid", "shopid", "storeid"),
    "brand": ("brand", "brandname", "manufacturer", "marke", "markenname", "hersteller"),
    "category": ("category", "categorypath", "categoryname", "maincategory", "department", "dept", "producttype",
                 "kategorie", "produktkategorie", "warengruppe", "artikelgruppe", "produktgruppe"),
    "title": ("title", "name", "movietitle", "producttitle", "productname", "itemname", "prodname", "headline",
              "bezeichnung", "titel", "artikelbezeichnung", "artikelname", "artikeltext", "produktname", "kurztext",
              "maktx", "arktx", "ueberschrift", "anzeigentitel", "nombre", "titulo", "denominacion", "titre", "nom",
              "intitule", "libelle", "nome",
              "titolo",
              "denominazione"),
}  # fmt: skip
# What items may be, too, where no column has a likelier name: a concert's venue, or the app of a log, is none.
SELDOM_ITEMS = ("venueid", "placeid", "poiid", "poi", "locationid", "businessid", "restaurantid", "gameid", "game",
                "appid", "packagename", "bundleid", "recipeid", "recipe", "rezeptid", "rezept", "idreceta",
                "idrecette", "idricetta", "idreceita", "animeid", "anime",
                "artistid", "artist", "beerid", "jobid", "newsid", "adid", "venue", "place", "restaurant")  # fmt: skip
# When an item begins: its end, where nearly all that users do with it comes before.
STARTS = {"startsat", "startson", "startat", "starton", "starts", "start", "startdate", "starttime", "startdatetime",
          "startingat", "beginsat", "begins", "begin", "begindate", "begintime", "eventstart", "eventstartdate",
          "eventstarttime", "eventdatetime", "eventtime", "showdate", "showtime", "showstart", "performancedate",
          "performancetime", "performancestart", "concertdate", "gamedate", "matchdate", "kickoff", "kickoffat",
          "doors", "doorsat", "doorsopen", "doorsopenat", "departure", "departureat", "departuredate", "departuretime",
          "departsat", "date", "datetime", "datum", "beginn", "beginntam", "startdatum", "startzeit", "startetam",
          "termin", "abfahrt", "veranstaltungsdatum", "veranstaltungsbeginn", "vorstellungsdatum"}  # fmt: skip
# What parts of an event are in, where nested ones were made columns.
PACKED = {"props", "properties", "payload", "params", "attributes", "attrs", "traits", "fields", "details"}
RATED = {"rating", "stars", "score"}
SHORTEST = 3  # letters of a word whose last is no plural's
TITLES = ("name", "title", "titel", "bezeichnung")  # behind the word for what items are
APP_IDS, APPS = ("package", "bundle"), ("app", "game")  # the first word of an id of apps, and what these are
TYPES: dict[EventType, tuple[str, ...]] = {
    EventType.IMPRESSION: ("impression", "show", "shown", "exposure", "exposed", "affichage", "affiche",
                           "impresion", "mostrado", "mostrada", "exposicion", "impressione", "mostrato", "mostrata",
                           "impressao", "exibicao", "exibido", "exibida", "exposicao",
                           "angezeigt", "gezeigt", "einblendung", "eingeblendet"),
    EventType.CLICK: ("click", "clicked", "clk", "view", "viewed", "pageview", "detail", "detailview", "productview",
                      "pv", "open", "opened", "play", "played", "watch", "watched", "listen", "listened",
                      "read", "stream", "streamed", "scrobble", "scrobbled", "launch",
                      "launched", "vue", "vu", "voir", "ouverture", "ouvert",
                      "ouvrir", "clic", "consulte",
                      "consultation", "ver", "vista", "visto", "verproducto", "visualizacion", "abrir", "abierto",
                      "vedi", "visualizza", "visualizzato", "visualizzazione", "clicca", "cliccato", "apri", "aperto",
                      "clique", "clicado", "clicou", "visualizacao", "visualizado", "visualizou", "aberto",
                      "klick", "klicken", "geklickt", "angeklickt", "ansehen", "angesehen", "anschauen", "angeschaut",
                      "ansicht", "seitenansicht", "produktansicht", "artikelansicht", "detailansicht", "aufruf",
                      "aufgerufen", "seitenaufruf", "produktaufruf", "betrachten", "betrachtet", "oeffnen", "geoeffnet",
                      "abgespielt", "selectitem"),
    EventType.CART: ("cart", "addtocart", "addedtocart", "addcart", "basket", "addtobasket", "addedtobasket", "fav",
                     "favorite", "favorites", "favorited", "favourite", "favourites", "favourited", "wishlist", "save",
                     "saved", "like", "liked", "addtowishlist", "addedtowishlist", "addtofavorites",
                     "addtofavourites", "bookmark", "bookmarked", "shortlist", "shortlisted", "message", "messaged",
                     "sendmessage", "messagesent", "contact", "contacted", "inquiry", "enquiry", "makeoffer",
                     "clickout", "redirect", "lead", "preregister", "preregistered", "preregistration",
                     "nachricht", "anfrage", "kontaktanfrage", "besichtigungsanfrage", "contacto", "contatto",
                     "contato", "angefragt", "kontakt", "kontaktiert",
                     "panier", "ajoutpanier", "ajoutaupanier", "ajouteaupanier", "favori", "favoris",
                     "carrito", "alcarrito", "anadiralcarrito", "anadidoalcarrito", "agregaralcarrito",
                     "agregadoalcarrito", "cesta", "anadiralacesta", "favorito", "favoritos", "megusta", "guardar",
                     "guardado", "carrello", "alcarrello", "aggiungialcarrello", "aggiuntoalcarrello", "preferito",
                     "preferiti", "mipiace", "salva", "salvato", "carrinho", "aocarrinho", "adicionaraocarrinho",
                     "adicionadoaocarrinho", "favoritar", "curtir", "curtida", "curtiu", "gostei", "salvar", "salvo",
                     "warenkorb", "imwarenkorb", "indenwarenkorb", "indenwarenkorblegen", "indenwarenkorbgelegt",
                     "zumwarenkorb", "zumwarenkorbhinzufuegen", "zumwarenkorbhinzugefuegt", "einkaufswagen",
                     "indeneinkaufswagen", "merkzettel", "aufdenmerkzettel", "wunschliste", "aufdiewunschliste",
                     "wunschzettel", "merken", "gemerkt", "favorit", "favoriten", "gefaelltmir", "speichern",
                     "gespeichert"),
    EventType.PURCHASE: ("purchase", "purchased", "buy", "bought", "transaction", "order", "ordered", "checkout",
                         "sale", "sold", "paid", "buyorder", "book", "booking", "booked", "reserve", "buchen",
                         "gebucht", "preorder", "preordered", "install", "installed", "installation", "download",
                         "downloaded", "iap", "inapppurchase", "enrol", "enroll", "enrolled", "enrolment",
                         "enrollment", "eingeschrieben", "einschreibung", "inscription", "inscripcion",
                         "iscrizione", "inscricao",
                         "rent", "rented", "borrow", "borrowed", "ausgeliehen", "gemietet", "achat",
                         "achete", "achetee", "commande", "commandee", "reservation",
                         "compra", "comprar", "comprado", "comprada", "pedido", "venta", "vendido", "pagado",
                         "reserva", "reservado", "acquisto", "acquista", "acquistato", "comprato", "ordine",
                         "ordinato", "vendita", "venduto", "pagato", "prenotazione", "prenotato", "comprou",
                         "encomenda", "encomendado", "venda", "pago",
                         "kauf", "kaufen", "gekauft", "einkauf", "bestellung", "bestellen", "bestellt", "verkauf",
                         "verkauft", "bezahlt", "buchung", "reservierung", "reservieren", "reserviert"),
    EventType.RETURN: ("return", "returned", "refund", "refunded", "cancel", "cancelled", "canceled", "cancellation",
                       "dispute", "disputed", "complaint", "complained", "chargeback", "reklamation", "reklamiert",
                       "storno", "storniert", "uninstall", "uninstalled", "deinstalliert", "appremove",
                         "appremoved", "unenrol", "unenroll", "unenrolled",
                       "remboursement", "rembourse", "retour", "retourne", "annule",
                       "annulation", "devolucion", "devolver", "devuelto", "reembolso", "reembolsado", "cancelado",
                       "cancelada", "cancelacion", "anulado", "anulacion", "reso", "restituito", "restituzione",
                       "rimborso", "rimborsato", "annullato", "annullamento", "cancellazione", "devolucao",
                       "devolvido", "estorno", "estornado", "cancelamento",
                       "retoure", "retourniert", "retournieren", "ruecksendung", "zurueckgesendet", "zurueckgeschickt",
                       "rueckgabe", "zurueckgegeben", "umtausch", "umgetauscht", "erstattung", "erstattet",
                       "rueckerstattung", "stornierung", "stornieren", "widerruf", "widerrufen"),
    EventType.RATING: ("rating", "rate", "review", "rated", "avis", "note", "notation", "evaluation", "valoracion",
                       "valorado", "resena", "opinion", "calificacion", "puntuacion", "evaluacion", "recensione",
                       "valutazione", "valutato", "voto", "avaliacao", "avaliado", "avaliou", "nota",
                       "bewertung", "bewerten", "bewertet", "rezension", "rezensiert"),
    EventType.HIDE: ("hide", "hidden", "dismiss", "dismissed", "notinterested", "block", "blocked", "ocultar",
                     "oculto", "nomeinteresa", "bloquear", "nascondi", "nascosto", "blocca", "esconder",
                     "ausblenden", "ausgeblendet", "verbergen", "verborgen", "nichtinteressiert", "keininteresse",
                     "blockieren", "blockiert"),
}  # fmt: skip
# The last word of what a request has whatever a user does: it is no type of an event, however few values it has.
SETTINGS = {"country", "land", "pays", "pais", "paese", "region", "city", "platform", "plattform", "os", "browser",
            "language", "locale", "sprache", "device", "timezone", "channel", "kanal", "vertriebsweg"}  # fmt: skip
# What an act is done to: of "listing_view" and "ViewItem" the other word tells.
SELLERS = {"seller", "verkaeufer"}
OBJECTS = {"item", "items", "product", "products", "listing", "listings", "article", "ad", "advert", "offer",
           "course", "courses", "kurs", "lesson", "lessons", "recipe", "recipes", "rezept", "receta", "recette",
           "ricetta", "receita", "flat", "flats", "apartment", "apartments",
           "immobilie", "immobilien", "expose", "inmueble", "immobile", "imovel", "job", "jobs", "vacancy",
           "event", "events", "ticket", "tickets", "lot", "lots", "auction", "auctions", "auktion", "subasta", "lote",
           "veranstaltung", "hotel", "property", "movie", "film", "song", "app", "apps", "game", "games",
           "artikel", "produkt", "anzeige", "inserat", "angebot", "producto", "articulo", "anuncio",
           "produit", "annonce", "prodotto", "annuncio", "produto", *SELLERS}  # fmt: skip
# What stands beside an act in "basket_add", "order_placed" and "refund_customer", and changes nothing of it.
ADDED = {"add", "added"}
FILLERS = {"completed", "confirmed", "customer", "first", "made", "organiser", "organizer", "page", "placed",
           "preview", "shop", "store", "submitted",
           "success", "successful", "succeeded", "to", *ADDED}  # fmt: skip
SHIPPED = {"preload", "preloaded", "preinstall", "preinstalled", "vorinstalliert"}  # with a device
INSTALLS = {"install", "installed", "installation", "download", "downloaded"}
# Further words in names of columns that tell what came of a visit.
OUTCOMES = {"abandoned", "bestellt", "cancelled", "canceled", "completed", "conversion", "converted", "gekauft", "kauf",
            "label", "outcome", "result", "reward", "status", "success", "target"}  # fmt: skip


def kind_of(text: str) -> EventType | None:
    """The event type that goes by the name `text`."""
    name = plain(text)
    return next((kind for kind, names in TYPES.items() if name in names), None)


def names_rating(name: str) -> bool:
    """Whether a column, its words with `_` between, goes by a verdict on an item, as `book_rating`."""
    words = {*name.split("_")}
    return bool(words & RATED) and words <= RATED | {*OBJECTS, *NAMES["item_id"], "user", "my", "review", "star"}


def unpacked(name: str) -> str:
    """A column's name, its words with `_` between, as `plain` has it without what its part was in: of
    `event_params_position` the position."""
    words = name.split("_")
    while len(words) > 1 and (words[0] in PACKED or (words[0] == "event" and words[1] in PACKED)):
        words = words[1:]
    return "".join(words)


def numbered(name: str, taken: Container[str]) -> str:
    """A name, with the first number behind it that makes it none of those that are taken; itself where it is not."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def names_act(name: str, whole: str) -> bool:
    """Whether a column goes by what a user did, or what came of it: its whole name, a word of it, or its end.

    Args:
        name: words and "_", as configs write it.
        whole: without case and punctuation.
    """
    words = name.split("_")
    acts = (kind_of(word) for word in [whole, *words] if word not in NAMES["item_id"])  # a book is read, not done
    ends = {"".join(words[start:]) for start in range(len(words))} - {"type"} | {whole}
    return bool(ends & set(NAMES["event_type"]) or set(words) & OUTCOMES) or any(acts)
