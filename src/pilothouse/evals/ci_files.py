"""Files for continuous integration that ``eval ci --write`` writes: they call ``eval ci`` and ``review``, and do no more."""

from __future__ import annotations

from typing import Final

GITHUB_FILE: Final = ".github/workflows/pilothouse.yml"
GITLAB_FILE: Final = ".gitlab-ci.yml"

GITHUB: Final = """\
# Runs the suite on the change and on what it began at, and fails where a regression is proven.
name: Pilothouse
on: [pull_request]
permissions:
  contents: read
jobs:
  evaluate:
    runs-on: ubuntu-latest
    timeout-minutes: 60
    env:
      # Through the environment, never into a script: whoever opens a pull request names its branch.
      BASE: ${{ github.event.pull_request.base.sha }}
      # The keys that your agent and your judges need; a fork gets none, and its cases are unscored.
      OPENAI_API_KEY: ${{ secrets.OPENAI_API_KEY }}
    steps:
      - uses: actions/checkout@v5
        with: {fetch-depth: 0, persist-credentials: false}
      - uses: actions/setup-python@v6
        with: {python-version: "3.12"}
      - name: Install
        run: python -m pip install 'pilothouse[evals]'
      # What a version has shown already is not run again.
      - uses: actions/cache@v4
        with:
          path: SUITE/.pilothouse/runs
          key: pilothouse-${{ github.event.pull_request.base.sha }}-${{ github.run_id }}
          restore-keys: pilothouse-${{ github.event.pull_request.base.sha }}-
      - name: Evaluate
        run: pilothouse eval ci --suite SUITE --base "$BASE" --junit junit.xml --report report.md
      - name: Review
        if: ${{ !cancelled() && hashFiles('.pilothouse/rules/**') != '' }}
        run: pilothouse review "$BASE...HEAD" --as github --strict
      - uses: actions/upload-artifact@v4
        if: ${{ !cancelled() }}
        with:
          name: pilothouse
          path: |
            junit.xml
            report.md
"""

GITLAB: Final = """\
# Runs the suite on the change and on what it began at, and fails where a regression is proven.
pilothouse:
  image: python:3.12
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
  variables:
    GIT_DEPTH: "0"
  cache:
    key: pilothouse
    paths: [SUITE/.pilothouse/runs]
  before_script:
    - python -m pip install 'pilothouse[evals]'
  script:
    - pilothouse eval ci --suite SUITE --base "$CI_MERGE_REQUEST_DIFF_BASE_SHA" --junit junit.xml --report report.md
  artifacts:
    when: always
    paths: [report.md]
    reports:
      junit: junit.xml
"""

FILES: Final = {"github": (GITHUB_FILE, GITHUB), "gitlab": (GITLAB_FILE, GITLAB)}
