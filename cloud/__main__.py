"""Starts the command line of the cloud; libraries are told their limits before they are loaded. Ring: rim."""

from __future__ import annotations

from shared.startup import loading, prepare_libraries


def main() -> None:
    """Run `emberlink-cloud`."""
    prepare_libraries()
    with loading():
        from cloud.cli import main as command_line

    command_line(prog_name="emberlink-cloud")  # also as `python -m cloud`


if __name__ == "__main__":
    main()
