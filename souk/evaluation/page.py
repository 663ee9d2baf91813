"""The template of the report. Everything in it is escaped but the pictures, in which matplotlib escapes."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Souk: evaluation of {{ metrics.dataset }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
small { color: #777; }
.verdict { padding: .6rem 1rem; background: #f3f3f3; border-left: .4rem solid #c33; }
.promote { border-color: #393; } .unchanged { border-color: #888; }
svg { max-width: 100%; height: auto; }
</style>
</head>
<body>
<h1>{{ metrics.dataset }}</h1>
<p class="verdict {{ verdict.outcome }}"><b>{{ outcome }}</b>{% if verdict.champion %}
 (served: {{ verdict.champion }}){% endif %}</p>
<table>
<tr><th>rule</th><th>passed</th><th style="text-align: left">numbers</th></tr>
{% for rule in verdict.rules %}
<tr><td>{{ rule.name }}</td><td>{{ "yes" if rule.passed else "no" }}</td>
<td style="text-align: left">{{ rule.detail }}</td></tr>
{% endfor %}
</table>
{% macro models_table(protocol) %}
<table>
<tr><th>model</th>{% for title in headers.values() %}<th>{{ title }}</th>{% endfor %}<th>coverage</th></tr>
{% for name, values in protocol.models.items() %}
<tr><td>{{ name }}</td>
{% for metric in headers %}<td>{{ "%.4f"|format(values[metric].mean) }}
<br><small>{{ "%.4f"|format(values[metric].low) }} to {{ "%.4f"|format(values[metric].high) }}</small></td>{% endfor %}
<td>{{ "%.1f"|format(100 * values["coverage@10"]) }}%</td></tr>
{% endfor %}
</table>
{% endmacro %}
{% set rolling = metrics.protocols.rolling %}
<h2>The next engagement</h2>
<p>{{ rolling.queries }} queries of {{ rolling.users }} users in the test window. Each ranks all
{{ metrics["items"] }} items knowing everything before it; models are frozen at the window's start. Averages within a
user, then over users, with 95% bootstrap intervals over users.</p>
{{ models_table(rolling) }}
{% for title, picture in pictures.items() %}
<h2>{{ title }}</h2>
{{ picture | safe }}
{% endfor %}
<h2>Slices</h2>
{% if "new to the user" in rolling.slices %}
<p>What is new to the user is ranked among the items that this user never engaged with before.</p>
{% endif %}
<table>
<tr><th>slice</th><th>queries</th><th>users</th>
{% for name in rolling.models %}<th>{{ name }}<br><small>{{ metrics.primary }}</small></th>{% endfor %}</tr>
{% for name, values in rolling.slices.items() %}
<tr><td>{{ name }}</td><td>{{ values.queries }}</td><td>{{ values.users }}</td>
{% for model in rolling.models %}
<td>{{ "%.4f"|format(values[model][metrics.primary]) if model in values else "–" }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% set frozen = metrics.protocols.frozen %}
<h2>Everything frozen at the window's start</h2>
<p>One query for each of {{ frozen.users }} users; the targets are all that the user engages with in the window. For
comparison with other reports.</p>
{{ models_table(frozen) }}
</body>
</html>
"""
