-- A newcomer's recipients are deferred one by one, with our text, and what is
-- left of the message is accepted without a header.
local conn = assert(mt.connect(socket, 40, 0.05), "cannot connect")
assert(mt.negotiate(conn, nil, nil, nil) == nil, "negotiation failed")
assert(mt.test_action(conn, SMFIF_ADDHDRS), "it does not ask to add headers")
assert(not mt.test_action(conn, SMFIF_CHGBODY), "it asks to change bodies")
assert(mt.test_option(conn, SMFIP_NOBODY), "it wants bodies")
assert(mt.test_option(conn, SMFIP_NOHDRS), "it wants headers")
assert(not mt.test_option(conn, SMFIP_NORCPT), "it wants no recipients")

assert(mt.conninfo(conn, "[192.0.2.9]", "192.0.2.9") == nil, "conninfo failed")
assert(mt.helo(conn, "client.example") == nil, "helo failed")
assert(mt.macro(conn, SMFIC_MAIL, "i", "queue1") == nil, "macro failed")
assert(mt.mailfrom(conn, "<a@x.example>") == nil, "mailfrom failed")
for _, recipient in ipairs({"<b@example.org>", "<c@example.org>"}) do
  assert(mt.rcptto(conn, recipient) == nil, "rcptto failed")
  assert(mt.getreply(conn) == SMFIR_REPLYCODE, "a newcomer does not wait")
end
mt.abort(conn)
mt.disconnect(conn)
