"""What everything stands on: errors, files, fields of configs and cards, devices, distributions."""
