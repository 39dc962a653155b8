-- SPDX-License-Identifier: Apache-2.0
--
-- Wireshark dissector for snaprpc: Pony Express packets (UDP), what the kernel TCP transport puts on
-- a stream, and the RPC frames in both. Written from docs/protocol.md (PX), docs/protocol-tcp.md (KT)
-- and docs/protocol-rpc.md (PR); names of fields follow these.
--
--   wireshark -X lua_script:snaprpc.lua capture.pcapng
--
-- or copy it into the folder "Personal Lua Plugins" (Help, About Wireshark, Folders). Pony packets
-- are found on the UDP ports of the preference (4741) and, on others, by their lengths and checksum;
-- TCP streams by their preface "SNAPTCP". A stream of which the beginning is missing, or on a port that
-- Wireshark gives to another protocol (7000 is one): Decode As, SNAPTCP, or -d tcp.port==7000,snaptcp.

local REASONS = {
    [0] = "none", [1] = "CLOSED", [2] = "ABORTED", [3] = "APP_GONE", [4] = "NO_SERVICE",
    [5] = "NO_MEMORY", [6] = "PEER_DEAD", [7] = "PEER_RESTARTED", [8] = "UNREACHABLE",
    [9] = "VERSION", [10] = "PROTOCOL", [11] = "BAD_COMMAND", [12] = "SHUTDOWN", [13] = "REFUSED",
    [14] = "SECURITY",
}

local CODES = {
    [0] = "OK", [1] = "CANCELLED", [2] = "UNKNOWN", [3] = "INVALID_ARGUMENT",
    [4] = "DEADLINE_EXCEEDED", [5] = "NOT_FOUND", [6] = "ALREADY_EXISTS",
    [7] = "PERMISSION_DENIED", [8] = "RESOURCE_EXHAUSTED", [9] = "FAILED_PRECONDITION",
    [10] = "ABORTED", [11] = "OUT_OF_RANGE", [12] = "UNIMPLEMENTED", [13] = "INTERNAL",
    [14] = "UNAVAILABLE", [15] = "DATA_LOSS", [16] = "UNAUTHENTICATED",
}

-- Bit operations: three names for them in the Lua versions that Wireshark has had.
local bits = bit32 or bit
if bits == nil then
    bits = load([[return {
        bxor = function(a, b) return (a ~ b) & 0xffffffff end,
        band = function(a, b) return a & b end,
        rshift = function(a, n) return (a & 0xffffffff) >> n end,
    }]])()
end

local crc_table = {}
for i = 0, 255 do
    local c = i
    for _ = 1, 8 do
        c = bits.band(c, 1) ~= 0 and bits.bxor(bits.rshift(c, 1), 0x82f63b78) or bits.rshift(c, 1)
    end
    crc_table[i] = c
end

-- CRC-32C of a string, as a number from 0 to 2^32 - 1.
local function crc32c(s)
    local c = 0xffffffff
    for i = 1, #s do
        c = bits.bxor(bits.rshift(c, 8), crc_table[bits.band(bits.bxor(c, s:byte(i)), 0xff)])
    end
    return bits.bxor(c, 0xffffffff) % 0x100000000
end

local function name_of(names, value)
    return names[value] or string.format("? (%d)", value)
end

---------------------------------------------------------------------------------------------------
-- RPC frames (docs/protocol-rpc.md)

local rpc = Proto("snaprpc", "snaprpc RPC frame")

local RPC_TYPES = {
    [1] = "REQUEST", [2] = "RESPONSE", [3] = "CANCEL", [4] = "HELLO", [5] = "GOAWAY",
    [6] = "PING", [7] = "PONG",
}

local r = {
    type = ProtoField.uint8("snaprpc.type", "Type", base.DEC, RPC_TYPES),
    flags = ProtoField.uint8("snaprpc.flags", "Flags", base.HEX),
    twice = ProtoField.bool("snaprpc.flags.idempotent", "May be run twice", 8, nil, 1),
    not_run = ProtoField.bool("snaprpc.flags.not_run", "Certainly not run", 8, nil, 1),
    call = ProtoField.uint64("snaprpc.call", "Call"),
    timeout = ProtoField.uint64("snaprpc.timeout_us", "Time left (us)"),
    name_len = ProtoField.uint16("snaprpc.name_len", "Length of the name"),
    name = ProtoField.string("snaprpc.method", "Method"),
    code = ProtoField.uint16("snaprpc.code", "Code", base.DEC, CODES),
    msg_len = ProtoField.uint16("snaprpc.message_len", "Length of the message"),
    msg = ProtoField.string("snaprpc.message", "Message"),
    meta_len = ProtoField.uint32("snaprpc.meta_len", "Length of the metadata"),
    meta = ProtoField.bytes("snaprpc.meta", "Metadata"),
    body = ProtoField.bytes("snaprpc.body", "Body"),
    body_len = ProtoField.uint32("snaprpc.body_len", "Length of the body"),
    vmin = ProtoField.uint16("snaprpc.version_min", "Least version"),
    vmax = ProtoField.uint16("snaprpc.version_max", "Highest version"),
    max_body = ProtoField.uint64("snaprpc.max_body", "Longest body taken"),
    addr_len = ProtoField.uint16("snaprpc.address_len", "Length of the address"),
    addr = ProtoField.string("snaprpc.address", "Pony address"),
    token = ProtoField.uint64("snaprpc.token", "Token", base.HEX),
}
rpc.fields = {
    r.type, r.flags, r.twice, r.not_run, r.call, r.timeout, r.name_len, r.name, r.code, r.msg_len,
    r.msg, r.meta_len, r.meta, r.body, r.body_len, r.vmin, r.vmax, r.max_body, r.addr_len, r.addr,
    r.token,
}
local e_rpc_short = ProtoExpert.new("snaprpc.short", "Frame ends too early (PR-1)",
    expert.group.MALFORMED, expert.severity.ERROR)
local e_rpc_type = ProtoExpert.new("snaprpc.unknown_type", "No such type (PR-1)",
    expert.group.MALFORMED, expert.severity.ERROR)
rpc.experts = { e_rpc_short, e_rpc_type }

-- Text, metadata, padding and body of REQUEST and RESPONSE; `at` is behind the head.
local function rpc_tail(buf, tree, text, text_len, meta_len, total)
    local at = 24
    if buf:len() < at + text_len + meta_len then
        tree:add_proto_expert_info(e_rpc_short)
        return
    end
    if text_len > 0 then
        tree:add(text, buf(at, text_len))
    end
    at = at + text_len
    if meta_len > 0 then
        tree:add(r.meta, buf(at, meta_len))
    end
    at = math.ceil((at + meta_len) / 8) * 8
    local len = math.max(0, total - at)
    tree:add(r.body_len, len):set_generated()
    local here = math.min(len, buf:len() - at)
    if here > 0 then
        tree:add(r.body, buf(at, here))
    end
end

local function rpc_request(buf, tree, total)
    if buf:len() < 24 then
        tree:add_proto_expert_info(e_rpc_short)
        return "REQUEST"
    end
    local name_len = buf(2, 2):le_uint()
    tree:add(r.twice, buf(1, 1))
    tree:add_le(r.name_len, buf(2, 2))
    tree:add_le(r.meta_len, buf(4, 4))
    tree:add_le(r.call, buf(8, 8))
    tree:add_le(r.timeout, buf(16, 8))
    rpc_tail(buf, tree, r.name, name_len, buf(4, 4):le_uint(), total)
    local name = buf:len() >= 24 + name_len and name_len > 0 and buf(24, name_len):string() or "?"
    return string.format("REQUEST %s %s", tostring(buf(8, 8):le_uint64()), name)
end

local function rpc_response(buf, tree, total)
    if buf:len() < 24 then
        tree:add_proto_expert_info(e_rpc_short)
        return "RESPONSE"
    end
    tree:add(r.not_run, buf(1, 1))
    tree:add_le(r.code, buf(2, 2))
    tree:add_le(r.meta_len, buf(4, 4))
    tree:add_le(r.call, buf(8, 8))
    tree:add_le(r.msg_len, buf(16, 2))
    rpc_tail(buf, tree, r.msg, buf(16, 2):le_uint(), buf(4, 4):le_uint(), total)
    return string.format("RESPONSE %s %s", tostring(buf(8, 8):le_uint64()),
        name_of(CODES, buf(2, 2):le_uint()))
end

local function rpc_hello(buf, tree)
    if buf:len() < 16 then
        tree:add_proto_expert_info(e_rpc_short)
        return "HELLO"
    end
    local len = buf(6, 2):le_uint()
    tree:add_le(r.vmin, buf(2, 2))
    tree:add_le(r.vmax, buf(4, 2))
    tree:add_le(r.addr_len, buf(6, 2))
    tree:add_le(r.max_body, buf(8, 8))
    if buf:len() < 16 + len then
        tree:add_proto_expert_info(e_rpc_short)
    elseif len > 0 then
        tree:add(r.addr, buf(16, len))
        return "RPC-HELLO " .. buf(16, len):string()
    end
    return "RPC-HELLO"
end

local function rpc_goaway(buf, tree)
    if buf:len() < 8 then
        tree:add_proto_expert_info(e_rpc_short)
        return "GOAWAY"
    end
    local len = buf(4, 2):le_uint()
    tree:add_le(r.code, buf(2, 2))
    tree:add_le(r.msg_len, buf(4, 2))
    if buf:len() < 8 + len then
        tree:add_proto_expert_info(e_rpc_short)
    elseif len > 0 then
        tree:add(r.msg, buf(8, len))
    end
    return "GOAWAY " .. name_of(CODES, buf(2, 2):le_uint())
end

local function rpc_number(field)
    return function(buf, tree, _, type)
        if buf:len() < 16 then
            tree:add_proto_expert_info(e_rpc_short)
        else
            tree:add_le(field, buf(8, 8))
        end
        return RPC_TYPES[type]
    end
end

local RPC_PARSERS = {
    [1] = rpc_request, [2] = rpc_response, [3] = rpc_number(r.call), [4] = rpc_hello,
    [5] = rpc_goaway, [6] = rpc_number(r.token), [7] = rpc_number(r.token),
}

-- One RPC frame; `buf` may be only its beginning, `total` is how long all of it is. Returns what the
-- info column says.
local function dissect_rpc(buf, tree, total)
    local sub = tree:add(rpc, buf)
    if buf:len() < 2 then
        sub:add_proto_expert_info(e_rpc_short)
        return "?"
    end
    local type = buf(0, 1):uint()
    sub:add(r.type, buf(0, 1))
    sub:add(r.flags, buf(1, 1))
    local parser = RPC_PARSERS[type]
    if parser == nil then
        sub:add_proto_expert_info(e_rpc_type)
        return "?"
    end
    local info = parser(buf, sub, total, type)
    sub:append_text(": " .. info)
    return info
end

---------------------------------------------------------------------------------------------------
-- Pony Express (docs/protocol.md)

local pony = Proto("pony", "Pony Express")

local TYPES = {
    [1] = "HELLO", [2] = "HELLO_OK", [3] = "REFUSE", [4] = "DATA", [5] = "ACK", [6] = "PROBE",
    [7] = "RESET", [8] = "SEALED", [9] = "PART",
}
local MODES = { [0] = "plain", [1] = "psk", [2] = "certificates" }
local WHYS = {
    [0] = "none", [1] = "COOKIE", [2] = "UNTRUSTED", [3] = "EXPIRED", [4] = "USAGE",
    [5] = "IDENTITY", [6] = "SIGNATURE",
}
local CIPHERS = { [1] = "AES-128-GCM", [2] = "ChaCha20-Poly1305" }
local FRAMES = {
    [1] = "OPEN", [2] = "OPEN_OK", [3] = "REFUSE", [4] = "SMALL", [5] = "FRAG", [6] = "RTS",
    [7] = "GRANT", [8] = "CREDIT", [9] = "CLOSE", [10] = "CLOSE_OK", [11] = "RESET",
    [12] = "PAD",
}
local CLASSES = {[0] = "NORMAL", [1] = "LATENCY", [2] = "BULK"}

local f = {
    crc = ProtoField.uint32("pony.crc", "CRC-32C", base.HEX),
    crc_good = ProtoField.bool("pony.crc.good", "CRC is right"),
    version = ProtoField.uint8("pony.version", "Version"),
    type = ProtoField.uint8("pony.type", "Type", base.DEC, TYPES),
    flags = ProtoField.uint8("pony.flags", "Flags", base.HEX),
    echo = ProtoField.bool("pony.flags.echo", "Echo", 8, nil, 1),
    unknown = ProtoField.bool("pony.flags.unknown", "Unknown flow", 8, nil, 2),
    n_sack = ProtoField.uint8("pony.n_sack", "SACK words"),
    token = ProtoField.uint64("pony.token", "Token", base.HEX),
    flow = ProtoField.uint32("pony.flow", "Destination flow"),
    seq = ProtoField.uint32("pony.seq", "Sequence number"),
    ack = ProtoField.uint32("pony.ack", "Acknowledged before"),
    tx_ts = ProtoField.uint32("pony.tx_ts", "Time stamp"),
    echo_ts = ProtoField.uint32("pony.echo_ts", "Echoed time stamp"),
    echo_delay = ProtoField.uint32("pony.echo_delay_ns", "Echo delay (ns)"),
    hops = ProtoField.uint8("pony.hops", "Hops of the echoed packet"),
    n_dup = ProtoField.uint8("pony.duplicates", "Duplicates received"),
    n_ce = ProtoField.uint16("pony.ce", "CE-marked packets received"),
    body_len = ProtoField.uint16("pony.body_len", "Body length"),
    covered = ProtoField.uint16("pony.covered_len", "Covered length"),
    sack = ProtoField.uint64("pony.sack", "SACK word", base.HEX),
    vmin = ProtoField.uint8("pony.version_min", "Least version"),
    vmax = ProtoField.uint8("pony.version_max", "Highest version"),
    mtu = ProtoField.uint16("pony.hello.mtu", "Size of this packet"),
    hello_flow = ProtoField.uint32("pony.hello.flow", "Sender's flow"),
    hello_token = ProtoField.uint64("pony.hello.token", "Sender's token", base.HEX),
    instance = ProtoField.uint64("pony.instance", "Sender's instance", base.HEX),
    features = ProtoField.uint64("pony.hello.features", "Features", base.HEX),
    psk = ProtoField.bool("pony.hello.psk", "Secured with a cluster key"),
    certs = ProtoField.bool("pony.hello.certificates", "Secured with certificates"),
    cookie = ProtoField.bytes("pony.cookie", "Cookie"),
    cert_len = ProtoField.uint16("pony.hello.certificate_len", "Length of the certificate"),
    sign_len = ProtoField.uint8("pony.hello.signature_len", "Length of the signature"),
    cert = ProtoField.bytes("pony.hello.certificate", "Certificate"),
    sign = ProtoField.bytes("pony.hello.signature", "Signature"),
    why = ProtoField.uint8("pony.why", "Why", base.DEC, WHYS),
    slot = ProtoField.uint8("pony.hello.slot", "Slot"),
    sec_vmin = ProtoField.uint8("pony.hello.psk.version_min", "Least version"),
    sec_vmax = ProtoField.uint8("pony.hello.psk.version_max", "Highest version"),
    ciphers = ProtoField.uint8("pony.hello.psk.ciphers", "Ciphers taken", base.HEX),
    aes = ProtoField.bool("pony.hello.psk.ciphers.aes_128_gcm", "AES-128-GCM", 8, nil, 2),
    chacha = ProtoField.bool("pony.hello.psk.ciphers.chacha20_poly1305", "ChaCha20-Poly1305", 8,
        nil, 4),
    preferred = ProtoField.uint8("pony.hello.psk.preferred", "Cipher preferred", base.DEC, CIPHERS),
    hello_key = ProtoField.uint32("pony.hello.psk.cluster_key", "Number of the cluster key"),
    public = ProtoField.bytes("pony.hello.psk.public_key", "X25519 public key"),
    mac = ProtoField.bytes("pony.hello.psk.mac", "MAC"),
    confirm = ProtoField.bytes("pony.hello.psk.confirmation", "Confirmation"),
    mode = ProtoField.uint8("pony.mode", "Sender's mode", base.DEC, MODES),
    probe_no = ProtoField.uint32("pony.probe.number", "Number of the padded PROBE"),
    part_idx = ProtoField.uint8("pony.part.index", "Piece"),
    part_count = ProtoField.uint8("pony.part.count", "Pieces in all"),
    part_whole = ProtoField.uint16("pony.part.whole_len", "Length of the whole body"),
    part_data = ProtoField.bytes("pony.part.data", "Data of the piece"),
    whole_in = ProtoField.framenum("pony.whole_in", "Whole in frame"),
    piece_in = ProtoField.framenum("pony.piece_in", "Piece in frame"),
    reason = ProtoField.uint8("pony.reason", "Reason", base.DEC, REASONS),
    cluster_key = ProtoField.uint16("pony.sealed.cluster_key", "Cluster key, low bits of its number"),
    generation = ProtoField.uint32("pony.sealed.generation", "Generation of the key"),
    number = ProtoField.uint64("pony.sealed.number", "Number of the packet"),
    sealed = ProtoField.bytes("pony.sealed.data", "Encrypted, and a tag"),
    frame = ProtoField.none("pony.frame", "Frame"),
    frame_type = ProtoField.uint8("pony.frame.type", "Type", base.DEC, FRAMES),
    frame_flags = ProtoField.uint8("pony.frame.flags", "Flags", base.HEX),
    frame_class = ProtoField.uint8("pony.frame.class", "Class", base.DEC, CLASSES),
    ordered = ProtoField.bool("pony.frame.ordered", "Ordered", 8, nil, 1),
    eager = ProtoField.bool("pony.frame.eager", "Eager", 8, nil, 2),
    frame_reason = ProtoField.uint8("pony.frame.reason", "Reason", base.DEC, REASONS),
    data_len = ProtoField.uint16("pony.frame.data_len", "Data length"),
    conn = ProtoField.uint32("pony.frame.conn", "Connection", base.HEX),
    own_conn = ProtoField.uint32("pony.frame.own_conn", "Acceptor's number", base.HEX),
    service = ProtoField.uint64("pony.frame.service", "Service", base.HEX),
    credit = ProtoField.uint32("pony.frame.credit", "Credit"),
    eager_max = ProtoField.uint32("pony.frame.eager_max", "Eager max"),
    stream = ProtoField.uint32("pony.frame.stream", "Stream"),
    fseq = ProtoField.uint32("pony.frame.seq", "Number in its lane"),
    msg_no = ProtoField.uint32("pony.frame.message", "Message"),
    total = ProtoField.uint32("pony.frame.total_len", "Total length"),
    off = ProtoField.uint32("pony.frame.offset", "Offset"),
    rts_no = ProtoField.uint32("pony.frame.rts", "RTS number"),
    n_msgs = ProtoField.uint32("pony.frame.n_messages", "Messages in all"),
    data = ProtoField.bytes("pony.frame.data", "Data"),
}
pony.fields = {
    f.crc, f.crc_good, f.version, f.type, f.flags, f.echo, f.unknown, f.n_sack, f.token, f.flow,
    f.seq, f.ack, f.tx_ts, f.echo_ts, f.echo_delay, f.hops, f.n_dup, f.n_ce, f.body_len, f.covered,
    f.sack, f.vmin, f.vmax, f.mtu, f.hello_flow, f.hello_token, f.instance, f.features, f.reason,
    f.psk, f.certs, f.cookie, f.cert_len, f.sign_len, f.cert, f.sign, f.why, f.slot, f.sec_vmin, f.sec_vmax, f.ciphers, f.aes, f.chacha, f.preferred, f.hello_key,
    f.public, f.mac, f.confirm, f.mode, f.probe_no, f.part_idx, f.part_count, f.part_whole,
    f.part_data, f.whole_in, f.piece_in,
    f.cluster_key, f.generation, f.number, f.sealed, f.frame, f.frame_type, f.frame_flags, f.frame_class, f.ordered, f.eager, f.frame_reason, f.data_len, f.conn,
    f.own_conn, f.service, f.credit, f.eager_max, f.stream, f.fseq, f.msg_no, f.total, f.off,
    f.rts_no, f.n_msgs, f.data,
}
local e_crc = ProtoExpert.new("pony.crc.bad", "CRC is wrong (PX-1)", expert.group.CHECKSUM,
    expert.severity.ERROR)
local e_length = ProtoExpert.new("pony.length.bad", "Lengths contradict each other (PX-2, PX-3)",
    expert.group.MALFORMED, expert.severity.ERROR)
local e_frame = ProtoExpert.new("pony.frame.bad", "Malformed frame (PX-60)",
    expert.group.MALFORMED, expert.severity.ERROR)
local e_cut = ProtoExpert.new("pony.cut", "The rest was not captured", expert.group.PROTOCOL,
    expert.severity.NOTE)
pony.experts = { e_crc, e_length, e_frame, e_cut }

pony.prefs.ports = Pref.range("UDP ports", "4741", "Engines' ports; others are found by heuristics",
    65535)
pony.prefs.reassemble = Pref.bool("Put messages together", true,
    "that travel in several packets, up to 1 MiB each")
pony.prefs.crc = Pref.bool("Check the CRC", true, "of packets that were captured as a whole")

local WORDS = { -- behind the 8 common bytes of a frame: field and size
    [1] = { { f.service, 8 }, { f.credit, 4 }, { f.eager_max, 4 } },
    [2] = { { f.own_conn, 4 }, { f.credit, 4 }, { f.eager_max, 4 } },
    [3] = {},
    [4] = { { f.stream, 4 }, { f.fseq, 4 } },
    [5] = { { f.msg_no, 4 }, { f.total, 4 }, { f.off, 4 }, { f.stream, 4 }, { f.fseq, 4 } },
    [6] = { { f.msg_no, 4 }, { f.total, 4 }, { f.stream, 4 }, { f.fseq, 4 }, { f.rts_no, 4 } },
    [7] = { { f.msg_no, 4 } },
    [8] = { { f.credit, 4 } },
    [9] = { { f.n_msgs, 4 } },
    [10] = {},
    [11] = {},
    [12] = {},
}
local HAS_REASON = { [3] = true, [11] = true }
local HAS_FLAGS = { [4] = true, [5] = true, [6] = true }
local HAS_DATA = { [4] = true, [5] = true, [12] = true }

local function frame_bytes(type)
    local n = 8
    for _, word in ipairs(WORDS[type]) do
        n = n + word[2]
    end
    return n
end

-- Messages of several FRAG frames, and packets of several PART packets. What is put together on the
-- first pass is kept: `wholes` by its key, `done` by the place where it became whole.
local WHOLE_MAX = 1024 * 1024
local wholes, done = {}, {}

function pony.init()
    wholes, done = {}, {}
end

-- The piece that begins at `off` of `total` bytes arrived at `place` (the frame, and where in it).
-- Returns the whole, if this is the piece that made it so, and where it is whole, if known.
local function add_piece(pinfo, key, place, off, total, data)
    if not pony.prefs.reassemble or total > WHOLE_MAX then
        return nil, nil
    end
    local whole = wholes[key]
    if not pinfo.visited and (whole == nil or whole.total ~= total) then
        whole = { total = total, got = 0, pieces = {}, frames = {} }
        wholes[key] = whole
    end
    if not pinfo.visited and whole.at == nil and whole.pieces[off] == nil then
        whole.pieces[off] = data:raw()
        whole.got = whole.got + data:len()
        table.insert(whole.frames, pinfo.number)
        if whole.got >= total then
            whole.at = pinfo.number
            local parts, at = {}, 0
            while at < total and whole.pieces[at] ~= nil do
                table.insert(parts, whole.pieces[at])
                at = at + math.max(1, #whole.pieces[at])
            end
            whole.pieces = nil
            local bytes = table.concat(parts)
            if #bytes == total then -- else they overlap: hostile
                done[place] = { bytes = bytes, frames = whole.frames }
            end
            whole.pieces = {}
        end
    end
    local made = done[place]
    return made, whole and whole.at
end

-- Shows what was put together here, or where it is.
local function show_whole(sub, pinfo, made, at)
    if made == nil then
        if at ~= nil and at ~= pinfo.number then
            sub:add(f.whole_in, at):set_generated()
        end
        return nil
    end
    for _, number in ipairs(made.frames) do
        if number ~= pinfo.number then
            sub:add(f.piece_in, number):set_generated()
        end
    end
    return ByteArray.new(made.bytes, true)
end

-- Who sends to whom: what numbers of connections and packets mean depends on it.
local function direction(pinfo)
    return string.format("%s %d %s %d", tostring(pinfo.src), pinfo.src_port, tostring(pinfo.dst),
        pinfo.dst_port)
end

-- The RPC frame in a message: at its beginning, and, if it took several packets, where it is whole.
local function frame_message(buf, sub, type, data, pinfo, place)
    if type ~= 5 then
        return dissect_rpc(data, sub, data:len())
    end
    local total, off = buf(12, 4):le_uint(), buf(16, 4):le_uint()
    if off == 0 and total == data:len() then
        return dissect_rpc(data, sub, total)
    end
    local key = string.format("%s m %d %d", direction(pinfo), buf(4, 4):le_uint(), buf(8, 4):le_uint())
    local made, at = add_piece(pinfo, key, place, off, total, data)
    local bytes = show_whole(sub, pinfo, made, at)
    if bytes ~= nil then
        return "last piece of " .. dissect_rpc(bytes:tvb("Message")(), sub, total)
    end
    return off == 0 and dissect_rpc(data, sub, total) .. " (begins)" or "piece"
end

-- The frame at the beginning of `buf`; how long it is, or nil. Adds to `infos`.
local function dissect_frame(buf, tree, infos, pinfo, place)
    local type = buf(0, 1):uint()
    local words = WORDS[type]
    if words == nil or buf:len() < frame_bytes(type) then
        return nil
    end
    local data_len = buf(2, 2):le_uint()
    local len = frame_bytes(type)
    local all = len + (HAS_DATA[type] and data_len or 0)
    if all > buf:len() or (not HAS_DATA[type] and data_len > 0) then
        return nil
    end
    local sub = tree:add(f.frame, buf(0, all))
    local info = FRAMES[type]
    sub:set_text("Frame: " .. info)
    sub:add(f.frame_type, buf(0, 1))
    if HAS_REASON[type] then
        sub:add(f.frame_reason, buf(1, 1))
        info = info .. " " .. name_of(REASONS, buf(1, 1):uint())
    else
        sub:add(f.frame_flags, buf(1, 1))
    end
    if type == 1 then
        sub:add(f.frame_class, buf(1, 1))
    end
    if HAS_FLAGS[type] then
        sub:add(f.ordered, buf(1, 1))
    end
    if type == 5 then
        sub:add(f.eager, buf(1, 1))
    end
    sub:add_le(f.data_len, buf(2, 2))
    sub:add_le(f.conn, buf(4, 4))
    local at = 8
    for _, word in ipairs(words) do
        sub:add_le(word[1], buf(at, word[2]))
        at = at + word[2]
    end
    if all > len then
        local data = buf(len, data_len)
        sub:add(f.data, data)
        if type ~= 12 then
            info = info .. " " .. frame_message(buf, sub, type, data, pinfo, place)
        end
    end
    table.insert(infos, "[" .. info .. "]")
    return all
end

local function dissect_frames(buf, tree, is_whole, pinfo)
    local infos = {}
    local at = 0
    while at < buf:len() do
        local rest = buf(at, buf:len() - at)
        local len = rest:len() >= 8 and
            dissect_frame(rest, tree, infos, pinfo, pinfo.number .. " " .. at) or nil
        if len == nil then
            tree:add_proto_expert_info(is_whole and e_frame or e_cut)
            break
        end
        at = at + len
    end
    return table.concat(infos, " ")
end

-- What mode psk adds to HELLO and HELLO_OK. PX-210
local function dissect_hello_psk(body, tree)
    tree:add(f.sec_vmin, body(32, 1))
    tree:add(f.sec_vmax, body(33, 1))
    tree:add(f.ciphers, body(34, 1))
    tree:add(f.aes, body(34, 1))
    tree:add(f.chacha, body(34, 1))
    tree:add(f.preferred, body(35, 1))
    tree:add_le(f.hello_key, body(36, 4))
    tree:add(f.public, body(40, 32))
    tree:add(f.mac, body(72, 32))
    tree:add(f.confirm, body(104, 32))
    return string.format("psk, cluster key %d, prefers %s", body(36, 4):le_uint(),
        name_of(CIPHERS, body(35, 1):uint()))
end

-- And mode certificates. PX-240
local function dissect_hello_certs(body, tree)
    local cert_len, sign_len = body(88, 2):le_uint(), body(90, 1):uint()
    tree:add(f.ciphers, body(34, 1))
    tree:add(f.aes, body(34, 1))
    tree:add(f.chacha, body(34, 1))
    tree:add(f.preferred, body(35, 1))
    tree:add(f.public, body(40, 32))
    tree:add(f.cookie, body(72, 16))
    tree:add_le(f.cert_len, body(88, 2))
    tree:add(f.sign_len, body(90, 1))
    tree:add(f.confirm, body(92, 32))
    if cert_len > 900 or sign_len > 128 then
        tree:add_proto_expert_info(e_length)
        return "certificates"
    end
    if cert_len > 0 then
        tree:add(f.cert, body(124, cert_len))
    end
    if sign_len > 0 then
        tree:add(f.sign, body(124 + cert_len, sign_len))
    end
    return cert_len > 0 and string.format("certificates, one of %d bytes", cert_len)
        or "certificates, asks for a cookie"
end

local function dissect_hello(body, tree, is_whole)
    if body:len() < 32 then
        tree:add_proto_expert_info(e_length)
        return ""
    end
    tree:add(f.vmin, body(0, 1))
    tree:add(f.vmax, body(1, 1))
    tree:add_le(f.mtu, body(2, 2))
    tree:add_le(f.hello_flow, body(4, 4))
    tree:add_le(f.hello_token, body(8, 8))
    tree:add_le(f.instance, body(16, 8))
    tree:add_le(f.features, body(24, 7))
    tree:add(f.slot, body(31, 1))
    local info = string.format("flow %d, versions %d to %d, %d bytes", body(4, 4):le_uint(),
        body(0, 1):uint(), body(1, 1):uint(), body(2, 2):le_uint())
    local features = body(24, 1):uint()
    local is_psk, has_certs = features % 2 == 1, bits.band(features, 2) ~= 0
    tree:add(f.psk, body(24, 1), is_psk)
    tree:add(f.certs, body(24, 1), has_certs)
    if not is_psk and not has_certs then
        return info
    end
    if body:len() < (is_psk and 136 or 1152) then
        tree:add_proto_expert_info(is_whole and e_length or e_cut)
        return info .. (is_psk and ", psk" or ", certificates")
    end
    return info .. ", " .. (is_psk and dissect_hello_psk or dissect_hello_certs)(body, tree)
end

local function dissect_end(body, tree, type)
    if body:len() < 16 then
        tree:add_proto_expert_info(e_length)
        return ""
    end
    tree:add(f.reason, body(0, 1))
    tree:add(f.vmin, body(1, 1))
    tree:add(f.vmax, body(2, 1))
    if type == 3 then
        tree:add(f.mode, body(3, 1))
    end
    tree:add_le(f.instance, body(8, 8))
    local info = name_of(REASONS, body(0, 1):uint())
    if type == 3 and body(0, 1):uint() == 14 then
        info = info .. ", sender's mode " .. name_of(MODES, body(3, 1):uint())
        if body(4, 1):uint() ~= 0 then
            tree:add(f.why, body(4, 1))
            info = info .. ", " .. name_of(WHYS, body(4, 1):uint())
        end
        if body:len() >= 32 then
            tree:add(f.cookie, body(16, 16))
        end
    end
    return info
end

-- A padded PROBE, or the ACK that answers it. PX-231
local function dissect_probe(body, tree, type, is_whole)
    if body:len() < 4 then
        tree:add_proto_expert_info(is_whole and e_length or e_cut)
        return ""
    end
    tree:add_le(f.probe_no, body(0, 4))
    return string.format(type == 6 and "number %d, padded" or "of PROBE %d", body(0, 4):le_uint())
end

local function dissect_header(buf, tree, n_sack)
    tree:add(f.version, buf(4, 1))
    tree:add(f.type, buf(5, 1))
    tree:add(f.flags, buf(6, 1))
    tree:add(f.echo, buf(6, 1))
    tree:add(f.unknown, buf(6, 1))
    tree:add(f.n_sack, buf(7, 1))
    tree:add_le(f.token, buf(8, 8))
    tree:add_le(f.flow, buf(16, 4))
    tree:add_le(f.seq, buf(20, 4))
    tree:add_le(f.ack, buf(24, 4))
    tree:add_le(f.tx_ts, buf(28, 4))
    tree:add_le(f.echo_ts, buf(32, 4))
    tree:add_le(f.echo_delay, buf(36, 4))
    tree:add(f.hops, buf(40, 1))
    tree:add(f.n_dup, buf(41, 1))
    tree:add_le(f.n_ce, buf(42, 2))
    tree:add_le(f.body_len, buf(44, 2))
    tree:add_le(f.covered, buf(46, 2))
    for i = 0, n_sack - 1 do
        tree:add_le(f.sack, buf(48 + 8 * i, 8))
    end
end

-- Whether the lengths in the header fit a packet of this size (PX-2, PX-3).
local function has_good_lengths(buf)
    if buf:len() < 48 then
        return false
    end
    local n_sack = buf(7, 1):uint()
    local body_len = buf(44, 2):le_uint()
    return n_sack <= 16 and body_len == buf:reported_len() - 48 - 8 * n_sack
        and buf(46, 2):le_uint() <= body_len
end

-- nil: not all that is covered was captured.
local function has_good_crc(buf)
    local covered = 48 + 8 * buf(7, 1):uint() + buf(46, 2):le_uint()
    if buf:len() < covered then
        return nil
    end
    return crc32c(buf:raw(4, covered - 4)) == buf(0, 4):le_uint()
end

-- The readable part of a packet of a secured flow; what it is, only its ends know.
local function dissect_sealed(buf, pinfo, tree)
    tree:append_text(", SEALED")
    tree:add_le(f.generation, buf(0, 4))
    tree:add(f.version, buf(4, 1))
    tree:add(f.type, buf(5, 1))
    tree:add_le(f.cluster_key, buf(6, 2))
    tree:add_le(f.token, buf(8, 8))
    tree:add_le(f.flow, buf(16, 4))
    tree:add_le(f.number, buf(20, 8))
    tree:add(f.sealed, buf(28, buf:len() - 28))
    pinfo.cols.info = string.format("SEALED %s, %d bytes, key generation %d",
        tostring(buf(20, 8):le_uint64()), buf:reported_len() - 76, buf(0, 4):le_uint())
    return buf:len()
end

-- A piece of a DATA packet. PX-236
local function dissect_part(buf, body, tree, pinfo)
    local is_whole = buf:len() == buf:reported_len()
    if body:len() < 8 then
        tree:add_proto_expert_info(is_whole and e_length or e_cut)
        return ""
    end
    local idx, count, total = body(0, 1):uint(), body(1, 1):uint(), body(2, 2):le_uint()
    local is_good = idx < count and count == math.ceil(total / 1024) and total <= 9216
        and buf(44, 2):le_uint() - 8 == math.min(1024, total - 1024 * idx)
    tree:add(f.part_idx, body(0, 1))
    tree:add(f.part_count, body(1, 1))
    tree:add_le(f.part_whole, body(2, 2))
    local info = string.format("of DATA %d, piece %d of %d", buf(20, 4):le_uint(), idx + 1, count)
    if not is_good or not is_whole or body:len() == 8 then
        tree:add_proto_expert_info(is_good and e_cut or e_length)
        return info
    end
    local data = body(8, body:len() - 8)
    tree:add(f.part_data, data)
    local key = string.format("%s p %d %d", direction(pinfo), buf(16, 4):le_uint(),
        buf(20, 4):le_uint())
    local made, at = add_piece(pinfo, key, pinfo.number .. " p", 1024 * idx, total, data)
    local bytes = show_whole(tree, pinfo, made, at)
    if bytes ~= nil then
        info = info .. " " .. dissect_frames(bytes:tvb("DATA")(), tree, true, pinfo)
    end
    return info
end

local function dissect_body(buf, tree, type, at, pinfo)
    local body = buf(at, buf:len() - at)
    local is_whole = buf:len() == buf:reported_len()
    if type == 1 or type == 2 then
        return dissect_hello(body, tree, is_whole)
    elseif type == 3 or type == 7 then
        return dissect_end(body, tree, type)
    elseif type == 4 then
        return dissect_frames(body, tree, is_whole, pinfo)
    elseif type == 5 or type == 6 then
        return dissect_probe(body, tree, type, is_whole)
    elseif type == 9 then
        return dissect_part(buf, body, tree, pinfo)
    end
    return ""
end

function pony.dissector(buf, pinfo, root)
    pinfo.cols.protocol = "Pony"
    local tree = root:add(pony, buf())
    if buf:len() > 28 and buf:reported_len() >= 76 and buf(5, 1):uint() == 8 then
        return dissect_sealed(buf, pinfo, tree)
    end
    if not has_good_lengths(buf) then
        tree:add_proto_expert_info(e_length)
        pinfo.cols.info = "not a Pony packet"
        return 0
    end
    local crc = tree:add_le(f.crc, buf(0, 4))
    local n_sack, type = buf(7, 1):uint(), buf(5, 1):uint()
    if buf:len() < 48 + 8 * n_sack then
        tree:add_proto_expert_info(e_cut)
        return buf:len()
    end
    local good = nil
    if pony.prefs.crc then
        good = has_good_crc(buf)
    end
    if good ~= nil then
        crc:add(f.crc_good, good):set_generated()
        if not good then
            crc:add_proto_expert_info(e_crc)
        end
    end
    dissect_header(buf, tree, n_sack)
    local info = name_of(TYPES, type)
    tree:append_text(", " .. info)
    if type == 4 then
        info = string.format("%s %d", info, buf(20, 4):le_uint())
    elseif type == 5 then
        info = string.format("%s %d", info, buf(24, 4):le_uint())
    end
    local at = 48 + 8 * n_sack
    local more = at < buf:len() and dissect_body(buf, tree, type, at, pinfo) or ""
    pinfo.cols.info = more ~= "" and info .. " " .. more or info
    return buf:len()
end

local udp_ports = nil

local function follow_ports()
    local table_of_ports = DissectorTable.get("udp.port")
    if udp_ports ~= pony.prefs.ports then
        if udp_ports ~= nil and udp_ports ~= "" then
            table_of_ports:remove(udp_ports, pony)
        end
        udp_ports = pony.prefs.ports
        if udp_ports ~= "" then
            table_of_ports:add(udp_ports, pony)
        end
    end
end
pony.prefs_changed = follow_ports
follow_ports()

pony:register_heuristic("udp", function(buf, pinfo, tree)
    local type = buf:len() >= 48 and buf(5, 1):uint() or 0
    if type < 1 or type > 9 or type == 8 or buf(4, 1):uint() == 0 or not has_good_lengths(buf) then
        return false
    end
    -- SEALED says too little about itself: such a flow is known by its HELLO, or by the port. What was
    -- cut off cannot be checked: lengths that fit are then all there is to go by.
    if has_good_crc(buf) == false then
        return false
    end
    pinfo.conversation = pony
    pony.dissector(buf, pinfo, tree)
    return true
end)

---------------------------------------------------------------------------------------------------
-- The TCP transport (docs/protocol-tcp.md)

local ktcp = Proto("snaptcp", "snaprpc on TCP")

local KT_REASONS = {
    [0] = "in order", [1] = "message too long", [2] = "malformed", [3] = "version",
    [4] = "refused", [5] = "given up",
}

local k = {
    magic = ProtoField.string("snaptcp.magic", "Preface"),
    version = ProtoField.uint8("snaptcp.version", "Version"),
    length = ProtoField.uint32("snaptcp.length", "Length"),
    flags = ProtoField.uint8("snaptcp.flags", "Flags", base.HEX),
    first = ProtoField.bool("snaptcp.first", "First piece", 8, nil, 1),
    last = ProtoField.bool("snaptcp.last", "Last piece", 8, nil, 2),
    fin = ProtoField.bool("snaptcp.end", "End", 8, nil, 4),
    stream = ProtoField.uint8("snaptcp.stream", "Stream"),
    reason = ProtoField.uint8("snaptcp.reason", "Reason", base.DEC, KT_REASONS),
    total = ProtoField.uint64("snaptcp.total", "Length of the message"),
    data = ProtoField.bytes("snaptcp.data", "Payload"),
}
ktcp.fields = {
    k.magic, k.version, k.length, k.flags, k.first, k.last, k.fin, k.stream, k.reason, k.total,
    k.data,
}
local e_kt = ProtoExpert.new("snaptcp.bad", "Malformed frame (KT-5, KT-6)", expert.group.MALFORMED,
    expert.severity.ERROR)
ktcp.experts = { e_kt }

local function is_preface(buf)
    return buf:len() >= 7 and buf(0, 7):raw() == "SNAPTCP"
end

-- Flags as three booleans.
local function flags_of(byte)
    return bits.band(byte, 1) ~= 0, bits.band(byte, 2) ~= 0, bits.band(byte, 4) ~= 0
end

local function ktcp_head_len(byte)
    local first, last = flags_of(byte)
    return first and not last and 16 or 8
end

local function ktcp_len(buf, _, offset)
    local head = buf(offset, 8)
    if is_preface(head) then
        return 8
    end
    local length = head(0, 4):le_uint()
    if length > 65536 then
        return 8 -- not one of ours: shown as malformed, and the stream goes on somehow
    end
    return ktcp_head_len(head(4, 1):uint()) + math.ceil(length / 8) * 8
end

local function ktcp_payload(buf, sub, at, length, first, last)
    local data = buf(at, length)
    if first then
        local total = last and length or buf(8, 8):le_uint64():tonumber()
        local info = dissect_rpc(data, sub, total)
        return last and info or info .. " (begins)"
    end
    if length > 0 then
        sub:add(k.data, data)
    end
    return last and "last piece" or "piece"
end

local function ktcp_frame(buf, pinfo, root)
    pinfo.cols.protocol = "snaprpc"
    local sub = root:add(ktcp, buf())
    if is_preface(buf) then
        sub:add(k.magic, buf(0, 7))
        sub:add(k.version, buf(7, 1))
        pinfo.cols.info:append(" [preface]")
        return buf:len()
    end
    local length, byte = buf(0, 4):le_uint(), buf(4, 1):uint()
    local first, last, fin = flags_of(byte)
    sub:add_le(k.length, buf(0, 4))
    sub:add(k.flags, buf(4, 1))
    sub:add(k.first, buf(4, 1))
    sub:add(k.last, buf(4, 1))
    sub:add(k.fin, buf(4, 1))
    if length > 65536 or byte > 7 or buf(6, 2):uint() ~= 0 or (fin and (length > 0 or byte ~= 4)) then
        sub:add_proto_expert_info(e_kt)
        return buf:len()
    end
    local info
    if fin then
        sub:add(k.reason, buf(5, 1))
        info = "end, " .. name_of(KT_REASONS, buf(5, 1):uint())
    else
        sub:add(k.stream, buf(5, 1))
        local at = ktcp_head_len(byte)
        if at == 16 then
            sub:add_le(k.total, buf(8, 8))
        end
        info = ktcp_payload(buf, sub, at, length, first, last)
    end
    sub:append_text(": " .. info)
    pinfo.cols.info:append(" [" .. info .. "]")
    return buf:len()
end

function ktcp.dissector(buf, pinfo, root)
    dissect_tcp_pdus(buf, root, 8, ktcp_len, ktcp_frame)
    return buf:len()
end

ktcp:register_heuristic("tcp", function(buf, pinfo, tree)
    if not is_preface(buf) then
        return false
    end
    pinfo.conversation = ktcp
    ktcp.dissector(buf, pinfo, tree)
    return true
end)
DissectorTable.get("tcp.port"):add_for_decode_as(ktcp)
