"""What is said of a body that is refused: in the words of JSON, with what to do."""

import pytest

from souk.errors import SoukError
from souk.serving.fields import identifier, known_keys
from souk.serving.model import instances_of
from souk.values import quoted


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"x": 1}', "Expected the body to have instances alone. Received: 'x'. For example {\"instances\": "),
        (
            b'{"instance": []}',
            "Expected the body to have instances alone. Received: 'instance'. Did you mean 'instances'?",
        ),
        (
            b'{"instances": [], "instance": 1}',
            "Expected the body to have instances alone. Received: 'instance'. For example ",
        ),
        (b"null", "Expected the body to be an object with instances. Received: null. For example "),
        (b"true", "Expected the body to be an object with instances. Received: true. For example "),
    ],
)
def test_a_body_of_another_form_gets_an_example(body: bytes, said: str) -> None:
    with pytest.raises(SoukError) as refused:
        instances_of(body)
    assert str(refused.value).startswith(said)


def test_a_field_where_none_is_declared_is_told_so() -> None:
    with pytest.raises(SoukError) as refused:
        known_keys("instances[0].context", {"device": "mobile"}, [])
    assert str(refused.value) == (
        "Expected instances[0].context to be empty: the config declares none of its fields. Received: 'device'. "
        "Leave it out; docs/data.md tells how to declare a field."
    )


@pytest.mark.parametrize(
    ("value", "remedy"),
    [("", "Send it as the data have it."), (42, 'Write "42", in quotes.'), (True, 'Write "true", in quotes.')],
)
def test_an_id_that_is_none_is_refused_with_a_remedy(value: object, remedy: str) -> None:
    with pytest.raises(SoukError) as refused:
        identifier("instances[0].user_id", value)
    assert str(refused.value) == (
        f"Expected instances[0].user_id to be a text of 1 to 512 characters. Received: {quoted(value)}. {remedy}"
    )
