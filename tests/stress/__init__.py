"""Attacks as a stranger would make them: fuzzed files, damaged workdirs, kills, wrong command lines."""
