"""Which patients are for testing where no year tells: every fifth, in an order that only the files decide."""

from collections.abc import Mapping

TEST_EVERY = 5


def split_patients(first_files: Mapping[str, str]) -> dict[str, str]:
    """The split (train or test) of each patient.

    Args:
        first_files: The lowest hash among the files of each patient: the same files give the same split under every key.
    """
    ordered = sorted(first_files, key=lambda patient: first_files[patient])
    return {
        patient: "test" if place % TEST_EVERY == TEST_EVERY - 1 else "train" for place, patient in enumerate(ordered)
    }
