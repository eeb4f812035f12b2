"""Commands in comments on pull requests: `/train machine=H100 lr=0.1`, `/stop`, `/attach`.

A comment is text of anybody's. `comment` reads it and `command` parses it; `parameters` are those that the workflow's
author allows; `admission` asks GitHub who may, and which commit was seen; `answer` tells; `launches` carries out.
"""
