"""Where the runs of a study take place, a file each. A launcher knows no study, and none knows another."""

TABLE = {
    "here": "tunesmith.launchers.here:Here",
    "process": "tunesmith.launchers.process:Process",
}
