"""Translate template.yaml as CloudFormation will: SAM's own translator, with nothing sent anywhere.

`sam validate` and cfn-lint accept two resources that end up with the same generated id; the deployment does not.
"""

import sys

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse


def main() -> int:
    with open("template.yaml", encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for resource in template["Resources"].values():
        # `sam deploy` replaces the folder by where it uploaded it to.
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    try:
        translated = Translator({}, Parser()).translate(template, {})
    except InvalidDocumentException as invalid:
        for cause in invalid.causes:
            print(cause.message, file=sys.stderr)
        return 1

    resources = translated["Resources"]
    open_roles = [
        name
        for name, resource in resources.items()
        if resource["Type"] == "AWS::IAM::Role" and "ManagedPolicyArns" in resource.get("Properties", {})
    ]
    for name in open_roles:
        print(f"{name} has managed policies, which reach further than one function needs", file=sys.stderr)
    print(f"{len(resources)} resources after translation")
    return 1 if open_roles else 0


if __name__ == "__main__":
    sys.exit(main())
