"""Parameter names of a foreign state dict, made those of a network: wrappers put a prefix before them, or leave one out."""

from collections.abc import Collection, Iterator

from core.errors import WeightsError

_SHOWN = 3


def mapped_names(found: Collection[str], wanted: Collection[str]) -> tuple[dict[str, str], str, str]:
    """The name in the network for each name in the file.

    Args:
        found: Names in the file.
        wanted: Names of the network.

    Returns:
        Names in the network by name in the file, the prefix that was taken away, and the one that was put before.

    Raises:
        WeightsError: Names are missing or left over; the message has the first of them.
    """
    needed = set(wanted)
    tries = [
        {name: added + name.removeprefix(taken) for name in found}
        for taken in _prefixes(found)
        for added in _prefixes(wanted)
    ]
    best = max(tries, key=lambda names: (len(needed & set(names.values())), -len(next(iter(names.values()), ""))))
    given = set(best.values())
    if given != needed:
        raise WeightsError(
            f"{_some('missing', sorted(needed - given))}; {_some('not of this network', sorted(given - needed))}; "
            "choose the network and the options that the file was trained with"
        )
    old, new = min(best.items())
    kept = _common_end(old, new)
    return best, old.removesuffix(kept), new.removesuffix(kept)


def _prefixes(names: Collection[str]) -> Iterator[str]:
    """Every run of leading parts, dots included, that all names share; the empty one first."""
    yield ""
    parts = [name.split(".") for name in names]
    shared = ""
    for place in range(min(map(len, parts), default=1) - 1):
        own = {part[place] for part in parts}
        if len(own) > 1:
            return
        shared += f"{own.pop()}."
        yield shared


def _common_end(one: str, other: str) -> str:
    """The longest run of whole trailing parts that both names have."""
    parts = zip(reversed(one.split(".")), reversed(other.split(".")), strict=False)
    kept: list[str] = []
    for own, theirs in parts:
        if own != theirs:
            break
        kept.insert(0, own)
    return ".".join(kept)


def _some(words: str, names: list[str]) -> str:
    """The first names, printable ones: a file may name anything."""
    shown = ", ".join(ascii(name)[1:-1][:60] for name in names[:_SHOWN])
    return f"{len(names)} {words}" + (f" ({shown}{', ...' if len(names) > _SHOWN else ''})" if names else "")
