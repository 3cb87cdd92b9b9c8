"""Starts the command line of the edge; libraries are told their limits before they are loaded. Ring: rim."""

from __future__ import annotations

from shared.startup import prepare_libraries


def main() -> None:
    """Run `emberlink-edge`."""
    prepare_libraries()
    from edge.cli import main as command_line

    command_line(prog_name="emberlink-edge")  # also as `python -m edge`


if __name__ == "__main__":
    main()
