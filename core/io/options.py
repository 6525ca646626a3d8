"""KEY=VALUE arguments of commands."""


def read_options(items: list[str]) -> dict[str, str | int | float | bool]:
    """{"implant": "nail", "t_score": -3.0, "blurred": True} from ["implant=nail", "t_score=-3.0", "blurred=true"]."""
    return {key: _value(text) for key, _, text in (item.partition("=") for item in items)}


def _value(text: str) -> str | int | float | bool:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
