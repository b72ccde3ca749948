"""Attacks as a stranger would make them: fuzzed files, damaged workdirs, kills, wrong calls, full disks."""
