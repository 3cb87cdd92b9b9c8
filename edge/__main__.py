"""Starts the command line of the edge; libraries are told their limits before they are loaded. Ring: rim."""

from __future__ import annotations

from shared.startup import end_beside_daemons, loading, prepare_libraries


def main() -> None:
    """Run `emberlink-edge`."""
    prepare_libraries()
    with loading():
        from edge.cli import main as command_line

    try:
        command_line(prog_name="emberlink-edge")  # also as `python -m edge`
    except SystemExit as end:
        end_beside_daemons(end)


if __name__ == "__main__":
    main()
