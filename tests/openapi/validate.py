"""Holds openapi.yaml against itself and against real answers.

Usage: validate.py OPENAPI < answers.json

Every example in the document must fit its schema. Every answer on stdin (a list of {"method", "path", "status",
"headers", "body"}) must be a documented one: its status, its content type, its body, and its headers, of which none may be
missing and none undocumented. Prints what is wrong, a line each, and fails if anything is.
"""

import json
import sys

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

# What HTTP itself adds to an answer.
ORDINARY_HEADERS = {"connection", "content-length", "content-type", "date"}

document = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
registry = Registry().with_resource("urn:document", Resource(contents=document, specification=DRAFT202012))
wrong = []


def at(pointer):
    """The part of the document that "#/a/b" leads to."""
    part = document
    for step in pointer.removeprefix("#/").split("/"):
        part = part[step.replace("~1", "/").replace("~0", "~")]
    return part


def resolved(part):
    """A part of the document, or what it refers to."""
    return at(part["$ref"]) if "$ref" in part else part


def absolute(part):
    """A part of the document whose references lead into the document, wherever the part stands."""
    if isinstance(part, dict):
        lead = lambda key, below: f"urn:document{below}" if key == "$ref" else absolute(below)
        return {key: lead(key, below) for key, below in part.items()}
    return [absolute(below) for below in part] if isinstance(part, list) else part


def hold(value, schema, where):
    """Notes every way in which a value does not fit its schema."""
    for error in Draft202012Validator(absolute(schema), registry=registry).iter_errors(value):
        wrong.append(f"{where}{error.json_path.removeprefix('$')}: {error.message}")


def examples(part):
    """The examples of a media type or a parameter, by name."""
    if "example" in part:
        yield "example", part["example"]
    for name, example in part.get("examples", {}).items():
        yield name, resolved(example)["value"]


def hold_examples(part, where):
    """Looks for examples everywhere below a part of the document, and holds them against the schema beside them."""
    if isinstance(part, dict):
        if "schema" in part:
            for name, value in examples(part):
                hold(value, part["schema"], f"{where}: example {name}")
        for key, below in part.items():
            hold_examples(below, f"{where}/{key}")
    elif isinstance(part, list):
        for index, below in enumerate(part):
            hold_examples(below, f"{where}/{index}")


def header_value(text, schema):
    """A header's text as the type that its schema speaks of."""
    return int(text) if resolved(schema).get("type") == "integer" and text.isdecimal() else text


def hold_answer(answer):
    """Holds one real answer against what the document says of it."""
    where = f"{answer['method']} {answer['path']} {answer['status']}"
    operation = document["paths"][answer["path"]][answer["method"].lower()]
    described = operation["responses"].get(str(answer["status"]))
    if described is None:
        wrong.append(f"{where}: not documented")
        return
    described = resolved(described)
    headers = {name.lower(): value for name, value in answer["headers"]}
    documented = {name.lower(): resolved(header) for name, header in described.get("headers", {}).items()}
    for name, header in documented.items():
        if name in headers:
            hold(header_value(headers[name], header["schema"]), header["schema"], f"{where}: header {name}")
        elif header.get("required"):
            wrong.append(f"{where}: header {name} is missing")
    for name in sorted(headers.keys() - documented.keys() - ORDINARY_HEADERS):
        wrong.append(f"{where}: header {name} is not documented")
    content = described.get("content", {})
    if answer["body"] and answer["method"] != "HEAD":
        media = content.get(headers.get("content-type"))
        if media is None:
            wrong.append(f"{where}: content type {headers.get('content-type')} is not documented")
        else:
            body = json.loads(answer["body"]) if "json" in headers["content-type"] else answer["body"]
            hold(body, media["schema"], f"{where}: body")
    elif content and answer["method"] != "HEAD":
        wrong.append(f"{where}: no body")


hold_examples(document, "#")
for answer in json.load(sys.stdin):
    hold_answer(answer)
print("\n".join(wrong))
sys.exit(bool(wrong))
