"""`python -m tritonbn`: the command `tritonbn`."""

import sys


def main() -> int:
    """Run the command; Ctrl-C while its modules are imported is one line, too."""
    try:
        from tritonbn.cli import main as run
    except KeyboardInterrupt:
        print("tritonbn: interrupted", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
