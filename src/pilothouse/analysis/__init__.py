"""Analysis runs: a playbook asked of every trace of an export, by many readers, with claims that are checked."""
