"""`python -m tests.simulation --seed 7`: run seeds, or one of them again.

Exit status: 0 passed, 1 something failed or nothing was tested, 2 wrong use.
"""

from __future__ import annotations

import argparse
import sys

from tests.simulation import campaign, planted
from tests.simulation.options import draw


def _setting(text: str) -> tuple[str, int]:
    name, separator, value = text.partition("=")
    if not separator or not value.lstrip("-").isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER, as in crashes=3")
    return name, int(value)


def main() -> int:
    """Parse, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--jobs", type=int, default=campaign.cores(), help="processes")
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], help="an option, as in crashes=0"
    )
    parser.add_argument("--plant", choices=sorted(planted.BUGS), help="break the code on purpose")
    wanted = parser.parse_args()
    given = dict(wanted.set)
    try:
        options = draw(wanted.seed, given)
    except ValueError as error:
        parser.error(str(error))
    print(f"commit {campaign.commit()}, seeds {wanted.seed} to {wanted.seed + wanted.seeds - 1}")
    if wanted.seeds == 1:
        print(f"options: {options}")
    summary = campaign.run(
        range(wanted.seed, wanted.seed + wanted.seeds),
        given=given,
        bug=wanted.plant,
        jobs=1 if wanted.seeds == 1 else wanted.jobs,
        progress=campaign.progress_line(wanted.seeds),
    )
    for failure in summary.failures:
        print(failure)
    happened = {name: count for name, count in summary.happened.items() if " in " not in name}
    print(f"injected: {happened}")
    print(
        f"{summary.runs} runs, {summary.compared} records compared, "
        f"{len(summary.failures)} failed, {summary.seconds / max(summary.runs, 1):.2f} s each"
    )
    if not summary.sound and not summary.failures:
        print("Nothing was injected or nothing was compared: this proves nothing.")
    return 0 if summary.sound else 1


if __name__ == "__main__":
    sys.exit(main())
