"""Greylatch in aiosmtpd, a mail server in Python: a handler around the one that takes the mail.

    from aiosmtpd.controller import Controller
    from greylatch import Greylisting

    Controller(Greylisting(YourHandler(), "/run/greylatch/http"), port=25).start()

or, with mail into a Maildir, as a command:

    python3 -m aiosmtpd -n -l 0.0.0.0:25 -c greylatch.Greylisting /run/greylatch/http /var/mail/all

It asks over HTTP at a unix socket of Greylatch's `listen.http`, about recipients that your handler has
taken. It never refuses mail because of a fault: when Greylatch is away, slow, or answers what cannot be
understood, mail goes on, the log says so, and nothing more is asked on this connection.
The manual, docs/http.md, says more.
"""

import asyncio
import http.client
import json
import logging
import socket
import uuid

PATIENCE_S = 5
ANSWER_MAX = 64 * 1024

log = logging.getLogger("mail.greylatch")


class Greylisting:
    """A handler that asks Greylatch, and leaves all else to the handler it is given."""

    def __init__(self, handler, path):
        self.handler = handler
        self.path = path

    @classmethod
    def from_cli(cls, parser, *arguments):
        """Of the command line: the socket, and a Maildir for the mail."""
        from aiosmtpd.handlers import Mailbox

        if len(arguments) != 2:
            parser.error("Greylisting takes a socket of Greylatch and a Maildir")
        path, maildir = arguments
        return cls(Mailbox(maildir), path)

    def __getattr__(self, name):
        return getattr(self.handler, name)

    def __dir__(self):
        # Where aiosmtpd looks which hooks there are.
        return {*super().__dir__(), *dir(self.handler)}

    async def handle_RCPT(self, server, session, envelope, address, options):
        taking = getattr(self.handler, "handle_RCPT", None)
        if taking:
            status = await taking(server, session, envelope, address, options)
            if not status.startswith("250"):
                return status
        else:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
            status = "250 OK"
        refusal = await self.ask(session, envelope, address, "rcpt")
        if refusal:
            # What was refused is no recipient.
            envelope.rcpt_tos.remove(address)
        return refusal or status

    async def handle_DATA(self, server, session, envelope):
        # A verdict is for the whole message now. What Greylatch has let go at RCPT by its option
        # `null_sender = "data"` it judges here; all else it knows by now.
        if not sender(envelope):
            refusal = await self.ask(session, envelope, envelope.rcpt_tos[0], "data")
            if refusal:
                return refusal
        header = getattr(envelope, "greylatch_header", None)
        if header:
            line = f"{header['name']}: {header['value']}\r\n"
            content = envelope.content
            envelope.content = (line if isinstance(content, str) else line.encode()) + content
        return await self.handler.handle_DATA(server, session, envelope)

    async def ask(self, session, envelope, recipient, stage):
        """The reply that turns this recipient away, or None."""
        if getattr(session, "greylatch_away", False):
            return None
        if not hasattr(envelope, "greylatch_id"):
            envelope.greylatch_id = uuid.uuid4().hex
        question = {
            "client": session.peer[0],
            "helo": session.host_name or "",
            "sender": sender(envelope),
            "recipient": recipient,
            "instance": envelope.greylatch_id,
            "stage": stage,
        }
        if stage == "data":
            question["recipient_count"] = len(envelope.rcpt_tos)
        if session.authenticated:
            login = getattr(session.auth_data, "login", b"unknown")
            question["login"] = login.decode(errors="replace")
        try:
            posting = asyncio.to_thread(post, self.path, question)
            verdict = await asyncio.wait_for(posting, PATIENCE_S)
            return self.reply(envelope, verdict)
        except Exception as error:
            session.greylatch_away = True
            log.error("no answer from Greylatch, mail goes on: %r", error)
            return None

    @staticmethod
    def reply(envelope, verdict):
        if verdict["verdict"] in ("defer", "refuse"):
            return "{code} {status} {text}".format(**verdict)
        if verdict["verdict"] != "pass":
            raise ValueError("an unknown verdict")
        if verdict["header"]:
            envelope.greylatch_header = verdict["header"]
        return None


def sender(envelope):
    """The envelope sender, empty for the null sender, which aiosmtpd writes as `<>`."""
    return "" if envelope.mail_from in (None, "<>") else envelope.mail_from


class UnixConnection(http.client.HTTPConnection):
    """HTTP at a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def post(path, question):
    """The verdict on a question."""
    connection = UnixConnection(path)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/check", json.dumps(question), headers)
        response = connection.getresponse()
        answer = json.loads(response.read(ANSWER_MAX))
        if response.status != 200:
            raise ValueError(f"status {response.status}: {answer.get('detail')}")
        return answer
    finally:
        connection.close()
