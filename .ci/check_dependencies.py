"""Hold the resolved dependencies against deny.toml, and what is run against what is tested.

Checks licences, refused crates and sources, and that `cargo run` and `cargo test` share what they compile. It reads the same
file as `cargo deny check bans licenses sources`, which takes longer to build than everything else in CI together
(docs/decisions/0007-dependency-policy.md). Needs nothing but Python.
"""

import json
import re
import subprocess
import sys
import tomllib


def satisfied(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be met with the allowed licences alone."""
    # Before SPDX expressions, a slash stood for OR.
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def take() -> str:
        nonlocal position
        position += 1
        return tokens[position - 1]

    def peek() -> str:
        return tokens[position] if position < len(tokens) else ""

    def term() -> bool:
        if peek() == "(":
            take()
            value = either()
            if take() != ")":
                raise ValueError(expression)
            return value
        name = take()
        if peek() == "WITH":
            take()
            name = f"{name} WITH {take()}"
        return name in allowed

    def both() -> bool:
        value = term()
        while peek() == "AND":
            take()
            value = term() and value
        return value

    def either() -> bool:
        value = both()
        while peek() == "OR":
            take()
            value = both() or value
        return value

    value = either()
    if position != len(tokens):
        raise ValueError(expression)
    return value


def with_features(*selection: str) -> set[str]:
    """The packages of a build, each with its features."""
    command = ["cargo", "tree", "--locked", "--prefix", "none", "--format", "{p} with [{f}]", *selection]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {line.removesuffix(" (*)") for line in lines if line}


def main() -> int:
    with open("deny.toml", "rb") as file:
        policy = tomllib.load(file)
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]

    allowed = set(policy["licenses"]["allow"])
    refused = {entry["name"] for entry in policy["bans"]["deny"]}
    # Cargo's own registry is the only one configured: another, or a repository, would be a second source.
    sources = {package["source"] for package in packages if package["source"] is not None}
    used: set[str] = set()
    findings = []
    for package in packages:
        label = f"{package['name']} {package['version']}"
        licence = package["license"]
        if package["name"] in refused:
            findings.append(f"{label} is refused by name")
        # Only what is part of this workspace has no source.
        if package["source"] is not None and (len(sources) > 1 or not package["source"].startswith("registry+")):
            findings.append(f"{label} comes from {package['source']}")
        if licence is None:
            findings.append(f"{label} states no licence")
        elif not satisfied(licence, allowed):
            findings.append(f"{label} is under {licence}")
        else:
            used |= {name for name in allowed if name in licence}
        for dependency in package["dependencies"] if package["source"] is None else []:
            if dependency["req"] == "*" and dependency.get("path") is None:
                findings.append(f"{label} takes any version of {dependency['name']}")
    findings += [f"{name} is allowed, but nothing needs it" for name in sorted(allowed - used)]

    run = with_features("--package", "storeward-local", "--edges", "normal,build")
    tested = with_features("--workspace", "--edges", "normal,build,dev")
    for package in sorted(run - tested):
        findings.append(f"{package} is compiled again for the tests: infra/local has to ask for their features of it")

    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"{len(packages)} packages held against deny.toml, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
