"""fetchmail: fetches by IMAP, hands on by LMTP and by SMTP, leaves behind or takes away."""

from demo import message
from neomutt import flags

CONFIG = """
poll {host} protocol imap port {port}
  user "{user}" password "{password}" is "{to}" here
  {options} no rewrite sslproto "{tls}" smtphost "{host}/{far}" {lmtp}
"""


def run(c):
    if not c.has("fetchmail"):
        return
    ann, bob, carol = c.users
    for n in range(1, 6):
        c.deliver(ann, message("letter %d" % n, ".\r\nText of letter %d." % n))
    c.messages(ann, count=5)

    def fetch(note, user, to, options, tls="", lmtp=False, want=0):
        config = c.file("fetchmailrc", CONFIG.format(
            host=c.host, port=c.port("imap"), user=user, password=c.password(user), to=to, options=options, tls=tls,
            far=c.port("lmtp" if lmtp else "smtp"), lmtp="lmtp" if lmtp else ""))
        status, said = c.command(["fetchmail", "-f", config, "--nosyslog", "-v", "--nosslcertck"])
        c.ok(note, status == want, "status %d: %s" % (status, said))

    fetch("leaves all there, marked as read", ann, bob, "keep fetchall", lmtp=True)
    c.same("they arrive by LMTP", [b"\r\n.\r\nText of letter %d." % n in text for n, text in
                                   enumerate(c.messages(bob, count=5), 1)], [True] * 5)
    c.same("they are read", set(map(frozenset, flags(c, ann).values())), {frozenset({"\\Seen"})})
    fetch("has nothing to fetch", ann, bob, "keep", want=1)
    c.deliver(ann, message("one more"))
    c.messages(ann, count=6)
    fetch("takes the new one away, by STARTTLS", ann, carol, "no keep", tls="auto")
    c.same("it arrives by SMTP", len(c.messages(carol, count=1)), 1)
    c.same("the others are still there", len(flags(c, ann)), 5)
    fetch("takes all", ann, carol, "no keep fetchall expunge 2", lmtp=True)
    c.same("all arrive", len(c.messages(carol, count=6)), 6)
    c.same("nothing is left", flags(c, ann), {})
