"""The template of the report. Everything in it is escaped but the pictures, in which matplotlib escapes."""

from souk.evaluation.page_style import STYLE

VERDICT = """
{% set primary = metrics.primary %}
{% set own = rolling.models[ours] %}
<h1>{{ metrics.dataset }}</h1><p class="first">{{ at_a_glance }}</p>
<small>{{ window }}: {{ rolling.queries }} queries of {{ rolling.users }} users{{ drawn }}; each ranks
the items that were there by then, of {{ metrics["items"] }} in all. {{ few_items }} {{ few_places }}
{{ few_users }}</small>
{% if verdict %}
<p class="verdict {{ verdict.outcome }}"><b>{{ outcome }}</b>{% if verdict.champion %}
 (champion: {{ verdict.champion }}){% endif %}
<br>{{ verdict.reason }} {{ of_before }}</p>
{% else %}
<p class="verdict none"><b>measured</b>, not judged: {{ beside }}.</p>
{% endif %}
<div class="tiles">
<div>{{ primary }}<b>{{ "%.4f"|format(own[primary].mean) }}</b><small>{{ own[primary]|interval }}</small></div>
{% for name in [served, rolling.best_baseline] if name in rolling.differences %}
{% set lead = rolling.differences[name][primary] %}
<div>against {{ metrics.champion if name == served else name }}
<b class="{{ lead|tone(rolling.users) }}">{{ "%+.4f"|format(lead.mean) }}</b>
<small>{{ lead|interval }}</small></div>
{% endfor %}
<div>catalogue shown<b>{{ "%.1f"|format(100 * own[shown.coverage]) }}%</b>
<small>top 1% gets {{ "%.1f"|format(100 * own[shown.top1_share].mean) }}% of the places</small></div>
{% if "user" in rolling.worst_slices %}
{% set least = rolling.worst_slices.user %}
<div>worst served users<b>{{ "%.4f"|format(least.mean) }}</b>
<small>{{ least.name }}, {{ least.users }} users, {{ "%+.4f"|format(least.gap) }}</small></div>
{% endif %}
</div>
{% if verdict and verdict.rules|length > 1 %}
<table>
<tr><th>rule</th><th>passed</th><th class="words">numbers</th></tr>
{% for names, rule in rules %}
<tr{% if rule.skipped %} class="few"{% endif %}><td>{{ names }}</td>
<td class="{{ "" if rule.skipped else "better" if rule.passed and not rule.warning else "worse" }}">
{{ "–" if rule.skipped else "warning" if rule.warning else "yes" if rule.passed else "no" }}</td>
<td class="words">{{ rule.detail }}</td></tr>{% endfor %}
</table>
{% endif %}
"""

MODELS = """
{% macro models_table(protocol) %}
<table>
<tr><th>model</th>{% for title in headers.values() %}<th>{{ title }}</th>{% endfor %}</tr>
{% for name, values in protocol.models.items() %}
<tr><td>{{ name }}</td>
{% for metric in headers %}<td>{{ "%.4f"|format(values[metric].mean) }}
<br><small>{{ values[metric]|interval }}</small></td>{% endfor %}</tr>
{% endfor %}
</table>{% endmacro %}
{% macro differences_table(protocol) %}{% if protocol.differences is defined %}
<table>
<tr><th>slate less</th>{% for title in headers.values() %}<th>{{ title }}</th>{% endfor %}</tr>
{% for name, values in protocol.differences.items() %}
<tr><td>{{ name }}{% if name == protocol.best_baseline %} <small>best baseline</small>{% endif %}</td>
{% for metric in headers %}<td class="{{ values[metric]|tone(protocol.users) }}">
{{ "%+.4f"|format(values[metric].mean) }}<br><small>{{ values[metric]|interval }}</small></td>{% endfor %}</tr>
{% endfor %}
</table>{% endif %}{% endmacro %}
<h2>The next engagement, beside the baselines</h2>
<p>Each query knows everything before it; models are frozen at the window's start. Averages within a user, then over
users, with 95% bootstrap intervals over users.</p>
{{ models_table(rolling) }}{% if of_the_last_item %}<p class="worse">{{ of_the_last_item }}</p>{% endif %}
{{ pictures.metrics | safe }}
<h3>The slate less each other model, paired by user</h3>
{{ differences_table(rolling) }}{% for said in most_behind %}<p class="worse">{{ said }}</p>{% endfor %}
{% if served in rolling.models %}
<h2>What changed against the champion, {{ metrics.champion }}</h2>
{% set change = rolling.differences[served] %}
<p>Of the first {{ first }} items, {{ "%.0f"|format(100 * rolling[shown.overlap]) }}% are those that the champion would
show. Coverage {{ "%+.1f"|format(100 * (own[shown.coverage] - rolling.models[served][shown.coverage])) }} points.
{% for name, title in [(shown.top1_share, "Places of the most popular 1%"), (shown.novelty, "Novelty, bits"),
(shown.diversity, "Diversity")] if name in change %}{{ title }}: {{ change[name]|signed }}. {% endfor %}</p>
{% if behind %}
<p class="worse">Behind the champion in {{ behind|length }} of {{ large }} slices of at least {{ least_users }} users:
{% for name, part in behind %}{{ name }} ({{ part.differences[served]|signed }}){{ "" if loop.last else "; " }}{%
endfor %}. Each interval is for its slice alone: of equal models, one slice in forty looks behind.</p>
{% else %}
<p>In none of {{ large }} slices of at least {{ least_users }} users behind the champion beyond chance.</p>
{% endif %}
{% endif %}
<h2>Where positives are lost</h2>
<p>Of the {{ rolling.stages[ours].positives }} engagements of these moments: {{ lost }}. Work on the stage that loses
most.</p>
{% if gone %}<p class="worse">{{ gone }}</p>{% endif %}
{{ pictures.stages | safe }}
{% if rolling.reranking %}
<h2>What re-ranking costs and brings</h2>
<p>The same ranked candidates in the ranker's order, with each control alone{{ ", and with all of them" if "all" in
rolling.reranking }}: the first {{ first }}.</p>
<table>
<tr><th>controls</th><th>{{ headers[shown.ndcg] }}</th><th>less none</th><th>coverage</th><th>diversity</th>
<th>places of the top 1%</th><th>of new items</th></tr>
{% for name, values in rolling.reranking.items() %}
<tr><td>{{ name.replace("_", " ") }}</td><td>{{ "%.4f"|format(values[shown.ndcg].mean) }}
<br><small>{{ values[shown.ndcg]|interval }}</small></td>
<td class="{{ values.difference|tone(rolling.users) }}">{% if name != "none" %}
{{ "%+.4f"|format(values.difference.mean) }}<br><small>{{ values.difference|interval }}</small>{% endif %}</td>
<td>{{ "%.1f"|format(100 * values[shown.coverage]) }}%</td>
{% for metric in [shown.diversity, shown.top1_share] %}
<td>{% if metric in values %}{{ "%.3f"|format(values[metric].mean) }}
<br><small>{{ values[metric]|interval(3) }}</small>{% else %}–{% endif %}</td>
{% endfor %}
<td>{{ "%.3f"|format(values[shown.new_share]) }}</td></tr>
{% endfor %}
</table>
{{ pictures.reranking | safe }}
{% endif %}
<h2>Beyond accuracy</h2>
<table>
<tr><th>model</th><th>coverage</th><th>Gini of exposure</th><th>engagements of an item</th><th>novelty, bits</th>
<th>diversity</th><th>places of the top 1%</th></tr>
{% for name, values in rolling.models.items() %}
<tr><td>{{ name }}</td><td>{{ "%.1f"|format(100 * values[shown.coverage]) }}%</td>
<td>{{ "%.3f"|format(values[shown.gini]) }}</td>
{% for metric, digits in [(shown.popularity, 1), (shown.novelty, 2), (shown.diversity, 3), (shown.top1_share, 3)] %}
<td>{% if metric in values %}{{ ("%%.%df"|format(digits))|format(values[metric].mean) }}
<br><small>{{ values[metric]|interval(digits) }}</small>{% else %}–{% endif %}</td>
{% endfor %}
</tr>
{% endfor %}
</table>
<div class="two"><div>{{ pictures.popularity | safe }}</div><div>{{ pictures.recall | safe }}</div></div>
"""

RANKER = """
{% macro heads_rows(model, found, beside) %}
{% for head, values in found.heads.items() %}
{% set order = found["ndcg@10"][head] %}
<tr><td>{{ model }}</td><td class="words">{{ head }}</td><td>{{ values.examples }}</td><td>{{ values.positives }}</td>
{% for figure in [values.auc, values.log_loss, values.calibration_error] %}
<td>{{ "%.4f"|format(figure) if figure is defined else "–" }}</td>
{% endfor %}
<td>{{ "%.3f"|format(values.predicted_over_observed) if values.predicted_over_observed is defined else "–" }}
{% if values.predicted_over_observed_low is defined %}
<br><small>{{ values|tenths }}</small>{% endif %}</td>
{% if order.queries %}
<td>{{ "%.4f"|format(order.ranker.mean) }}</td><td>{{ "%.4f"|format(order[beside].mean) }}</td>
<td class="{{ order.difference|tone(order.users) }}">{{ "%+.4f"|format(order.difference.mean) }}
<br><small>{{ order.difference|interval }}</small></td></tr>
{% else %}
<td>–</td><td>–</td><td>–</td></tr>
{% endif %}
{% endfor %}
{% endmacro %}
{% macro heads_header(beside) %}
<tr><th>model</th><th>head</th><th>examples</th><th>positives</th><th>AUC</th><th>log loss</th>
<th>calibration error</th><th>predicted / observed</th><th>NDCG@10 at its positives: of the ranker's order</th>
<th>of {{ beside }}</th><th>difference</th></tr>
{% endmacro %}
<h2>The ranker on its candidates</h2>
<table>
{{ heads_header("the retrievers' order") }}
{% for model, found in metrics.ranker.items() %}{{ heads_rows(model, found, "retrieval") }}{% endfor %}
</table>
<p>Under predicted over observed, the least and the greatest of it in the tenths of the predictions that have 200
positives or more: no interval, so the ratio of all need not lie between them.</p>
{% for sentence in of_heads %}
<p class="worse">{{ sentence }}</p>
{% endfor %}
{% if metrics.ranker.values()|selectattr("shown", "defined")|list %}
<h3>On what was shown</h3>
<p>Those of its candidates that the logged slate of the moment showed. What stood first was looked at first, so the
order that was shown has the clicks on its side. P(engaged) is a chance among all candidates: of the few that were
shown where something was taken, more were.</p>
<table>
{{ heads_header("the order shown") }}
{% for model, found in metrics.ranker.items() if found.shown is defined %}
{{ heads_rows(model, found.shown, "logged") }}{% endfor %}
</table>
{% endif %}
{{ pictures.calibration | safe }}
{% if pictures.pareto %}
<h2>What the weight of satisfaction costs and brings</h2>
<p>On the users that the ranker held out; at each point the exponent of satisfaction in the score, filled the one that
is served; none is where the config sets a weight of its own. On the left each candidate counts by its chances, which
choose; on the right by what these users took, of which chance has more the fewer they are.</p>
{{ pictures.pareto | safe }}
{% endif %}
{% if pictures.training %}
<h2>Training</h2>
<p>The loss of the towers on what they learn from. Of the ranker, the loss of the order on users whom its fit does not
see, and their NDCG@10: what it is fitted by is of other negatives and of more heads. Dotted: where the next stage
begins, or the refresh on the events of the validation window.</p>
{{ pictures.training | safe }}
{% endif %}
{% set shop = rolling.business %}
{% if shop.window or shop.models %}
<h2>The shop</h2>
<p>{% for name, value in shop.window.items() %}{{ name.replace("_", " ") }}
{{ "%.1f%%"|format(100 * value) if name in ("conversion", "repeat_visits") else
("%.2f" if value % 1 else "%.0f")|format(value) }}{{ "; " if not loop.last }}{% endfor %}{% if shop.window %}.
These are of the log, whatever was shown then.{% endif %}{{ not_told }}</p>{% if shop.models %}
<table>
{% set act = "bought" if shop.valued is defined else "taken" %}
<tr><th>model</th><th>price of what was {{ act }} and shown, a slate</th><th>share of all that was {{ act }}</th></tr>
{% for name, values in shop.models.items() %}
<tr><td>{{ name }}</td><td>{{ "%.3f"|format(values[shown.value_per_slate].mean) }}
<br><small>{{ values[shown.value_per_slate]|interval(3) }}</small></td>
<td>{{ "%.1f"|format(100 * values[shown.value_share]) }}%</td></tr>
{% endfor %}
</table>
{% endif %}
{% endif %}
"""

SLICES = """
<h2>Slices</h2>
<p>{{ metrics.primary }} by part of the users or items. Marked: the worst of at least {{ least_users }} users, on
either side; grey: fewer users.{% if "new to the user" in rolling.slices %} What is new to the user is ranked among the
items that this user never engaged with before.{% endif %}</p>
{% for column, gap in rolling.parity.items() %}
<p>Parity, {{ column }}: {{ gap.highest }} less {{ gap.lowest }} is {{ "%.0f"|format(100 * gap.gap) }}% of the mean
(95%, all pairs together: {{ "%.0f"|format(100 * gap.low) }}% to {{ "%.0f"|format(100 * gap.high) }}%){{
"" if gap.low > 0 else "; no pair differs beyond chance" }}.</p>
{% endfor %}
{% set marked = rolling.worst_slices.values()|selectattr("name", "defined")|map(attribute="name")|list %}
<table>
<tr><th>slice</th><th>queries</th><th>users</th>
{% for name in rolling.models %}<th>{{ name }}</th>{% endfor %}
{% for name in [served, rolling.best_baseline] if name in rolling.differences %}<th>less {{ name }}</th>{% endfor %}
</tr>
{% for family, parts in families %}
<tr class="family"><th colspan="3">{{ family }}</th></tr>
{% for name, values in parts %}
<tr class="{{ "worst" if name in marked else "few" if values.users < least_users }}">
<td>{{ name.removeprefix(family ~ ": ") }}</td><td>{{ values.queries }}</td><td>{{ values.users }}</td>
{% for model in rolling.models %}
{% set found = values["models"][model][metrics.primary] %}
<td>{{ "%.4f"|format(found.mean) }}{% if model == ours %}<br><small>{{ found|interval(3) }}</small>{% endif %}</td>
{% endfor %}
{% for other in [served, rolling.best_baseline] if other in rolling.differences %}
{% set lead = values.differences[other] %}
<td class="{{ lead|tone(values.users) }}">{{ "%+.4f"|format(lead.mean) }}
<br><small>{{ lead|interval(3) }}</small></td>{% endfor %}
</tr>
{% endfor %}
{% endfor %}
</table>
"""

EXAMPLES = """
<h2>{{ rolling.examples|length }} users, drawn by a seed</h2>
<p>The first query of each: what they did last, what they would have been shown, and in green what they then took.</p>
<div class="users">
{% for user in rolling.examples %}
<section><h3>{{ user.user_id }} <small>{{ user.events }} events so far</small></h3>
<small>last: {{ user.history|join(" · ") or "nothing" }}</small>
<div class="slates">{% for name, slate in user.slates.items() %}
<div>{{ name }}<ol>{% for title, hit in slate %}<li{% if hit %} class="hit"{% endif %}>{{ title }}</li>{% endfor %}
</ol></div>
{% endfor %}
</div><small>took: {{ user.targets|join(" · ") }}</small></section>
{% endfor %}</div>
<h2>Everything frozen at the window's start</h2>
<p>A query for each of {{ metrics.protocols.frozen.users }} users; the targets are all that they take in the window.</p>
{{ models_table(metrics.protocols.frozen) }}{{ differences_table(metrics.protocols.frozen) }}
{% for sessions in [metrics.protocols.sessions] if sessions is defined %}
<h2>Visitors</h2>
<p>{{ sessions.queries }} queries from {{ sessions.users }} users, as if by visitors of whom only the session is known,
since a pause of half an hour. Averages within a user, then over users, as above. {{ with_all_known }}</p>
{{ models_table(sessions) }}{{ differences_table(sessions) }}
{% endfor %}
"""

PAGE = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Souk: evaluation of {{ metrics.dataset }}</title>
<style>"""
    + STYLE
    + "</style>\n</head>\n<body>"
    + VERDICT
    + MODELS
    + RANKER
    + SLICES
    + EXAMPLES
    + "</body>\n</html>\n"
)
