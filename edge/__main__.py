"""Starts the command line of the edge; libraries are told their limits before they are loaded. Ring: rim."""

from __future__ import annotations

from shared.startup import loading, prepare_libraries


def main() -> None:
    """Run `emberlink-edge`."""
    prepare_libraries()
    with loading():
        from edge.cli import main as command_line

    command_line(prog_name="emberlink-edge")  # also as `python -m edge`


if __name__ == "__main__":
    main()
