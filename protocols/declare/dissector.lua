-- Wireshark dissector of Bellwire. GENERATED from the message declarations: do not edit.
-- Use: wireshark -X lua_script:bellwire.lua trace.pcapng   (or put it into the personal Lua plugin folder)

local bellwire = Proto("bellwire", "Bellwire")
local PORT, VERSION, HEADER_BYTES, MAX_FRAME = @PORT@, @VERSION@, @HEADER_BYTES@, @MAX_FRAME@

local declared = {}
local function field(proto_field)
  declared[#declared + 1] = proto_field
  return proto_field
end

-- Enumerations.
local V = {}
@VALUES@
local PROTOCOL_NAMES = {@NUMBERS@}

local function problem(name, text, group, severity)
  return ProtoExpert.new("bellwire." .. name, "Bellwire: " .. text, expert.group[group], expert.severity[severity])
end
local SHORT = problem("short", "too short", "MALFORMED", "ERROR")
local LONG = problem("long", "bytes left over", "MALFORMED", "ERROR")
local BOUND = problem("bound", "beyond its bound", "MALFORMED", "ERROR")
local VALUE = problem("value", "unknown code point", "MALFORMED", "ERROR")
local LENGTH = problem("bad_length", "wrong length", "MALFORMED", "ERROR")
local FOREIGN = problem("foreign", "no frame of this version", "PROTOCOL", "WARN")
local UNKNOWN = problem("unknown", "unknown message", "UNDECODED", "WARN")
-- What a message says, and what became of a frame.
local WARN = problem("warn", "a message of failure", "RESPONSE_CODE", "WARN")
local NOTE = problem("note", "a message to note", "RESPONSE_CODE", "NOTE")
local LOST = problem("lost", "lost by the emulator", "SEQUENCE", "WARN")
local MARRED = problem("marred", "changed by the emulator", "SEQUENCE", "NOTE")
local DROPPED = problem("dropped", "dropped by its receiver", "SEQUENCE", "WARN")
local AGAIN = problem("again", "sent again", "SEQUENCE", "NOTE")
local REBORN = problem("reborn", "first frame of a node's new life", "SEQUENCE", "NOTE")
bellwire.experts = {SHORT, LONG, BOUND, VALUE, LENGTH, FOREIGN, UNKNOWN, WARN, NOTE, LOST, MARRED, DROPPED, AGAIN, REBORN}

-- Fields: f ProtoField, at and len in bytes, bit and bits within them, names of code points, key = shown in Info.
local HEADER = {
@HEADER@
}

local EBIT = field(ProtoField.string("bellwire.ebit", "Ebit", base.ASCII, "a link's pair: link:sequence"))
local PAIR = field(ProtoField.string("bellwire.pair", "Pair", base.ASCII, "a pair between two ends: head/pair id"))

-- Protocols and their messages: size of the fixed part, fields, tail = the variable part.
local FAMILIES = {
@FAMILIES@
}

bellwire.fields = declared

-- Fields can be asked for by name as well.
for _, family in pairs(FAMILIES) do
  for number, message in pairs(family) do
    local tail = type(number) == "number" and message.tail
    for _, fields in ipairs(type(number) == "number" and {message.fields, tail and tail.fields} or {}) do
      for nth = 1, #fields do fields[fields[nth].name] = fields[nth] end
    end
  end
end

-- Adds the fields that lie within `size` bytes from `start`; returns those that the Info column shows, as text.
local function add_fields(buf, start, size, fields, tree)
  local shown = {}
  for _, one in ipairs(fields) do
    if one.at + one.len > size then break end
    local range = buf(start + one.at, one.len)
    local item = tree:add(one.f, range)
    if one.names or one.key then
      local text
      if one.len <= 4 then
        local value = range:bitfield(one.bit, one.bits)
        if one.names and not one.names[value] then item:add_proto_expert_info(VALUE) end
        text = one.names and one.names[value] or tostring(value)
      else
        text = tostring(range:uint64())
      end
      if one.key then shown[#shown + 1] = one.name .. "=" .. text end
    end
  end
  return table.concat(shown, " ")
end

-- Adds the variable part; returns how many bytes the body should have.
local function add_tail(buf, start, size, message, tree)
  local tail = message.tail
  local count = buf(start + tail.count_at, tail.count_len):uint()
  local wanted = message.size + count * tail.each
  if count > tail.bound then tree:add_proto_expert_info(BOUND, "at most " .. tail.bound .. ", not " .. count) end
  if tail.fields then
    for nth = 0, count - 1 do
      local at = message.size + nth * tail.each
      if at + tail.each > size then break end
      local item = tree:add(tail.f, buf(start + at, tail.each))
      item:append_text(" " .. nth)
      add_fields(buf, start + at, tail.each, tail.fields, item)
    end
  elseif count > 0 and size > message.size then
    tree:add(tail.f, buf(start + message.size, math.min(count, size - message.size)))
  end
  return wanted
end

-- What earlier frames have told, rebuilt with every reading of the capture.
local goes_on   -- sequence numbers of Data that another one continues, by stream
local first     -- header sequence with which a Data was sent first, by stream and its own sequence
local lives     -- incarnation of each node
local flags     -- what is to be said about a frame, by its number: {expert, text}
local things    -- trains, ebits, pairs and errands by what they are called now: {kind, label, of = {what they belong to}}
local circuits  -- head, tail and link of a circuit's hop, by its two nodes and its label
local seen      -- things that a frame is about, by its number
local ages      -- how many things had one name, by the name
local moment    -- counts the things that were named
local function forget()
  goes_on, first, lives, flags, things, circuits, seen, ages, moment = {}, {}, {}, {}, {}, {}, {}, {}, 0
end
forget()
bellwire.init = forget

local function flag(pinfo, kind, text)
  local about = flags[pinfo.number] or {}
  about[#about + 1] = {kind, text}
  flags[pinfo.number] = about
end

-- PAIRS. The same rules stand in testbed/trace/pairs.py, which is tested to agree.

-- The value of a message's field, as a number; of a u64, as a string.
local function value(buf, start, fields, name)
  local one = fields[name]
  local range = buf(start + one.at, one.len)
  if one.len <= 4 then return range:bitfield(one.bit, one.bits) end
  return tostring(range:uint64())
end

-- The thing with this name; a new one if there is none, or if its stamp says that the number is used anew.
local function named(kind, key, label, stamp)
  local thing = things[kind .. key]
  if not thing or (stamp and thing.stamp and thing.stamp ~= stamp) then
    local age = (ages[kind .. key] or 0) + 1
    ages[kind .. key] = age
    thing = {kind = kind, label = age > 1 and label .. "~" .. age or label, of = {}}
    things[kind .. key] = thing
  end
  thing.stamp = thing.stamp or stamp
  moment = moment + 1
  thing.moment = moment
  return thing
end

local function ebit(link, sequence, stamp)
  local label = link .. ":" .. sequence
  return named("ebit", label, label, stamp)
end

local function hop(source, destination, circuit)
  return math.min(source, destination) .. "-" .. math.max(source, destination) .. ":" .. circuit
end

local function pair(head, id)
  local life = lives[head] or 1
  local label = (life > 1 and head .. "." .. life or head) .. "/" .. id
  return "pair" .. label, label
end

-- The latest pair of that number between two nodes.
local function between(one, other, id)
  local found
  for _, ends in ipairs({{one, other}, {other, one}}) do
    local thing = things[(pair(ends[1], id))]
    if thing and thing.tail == ends[2] and (not found or thing.moment > found.moment) then found = thing end
  end
  return found
end

local MOST = 64  -- ebits that one Expire may name

-- The things that one of a message's names stands for.
local function things_of(name, numbers, stamp, family, source, destination)
  local a, b, c = numbers[1], numbers[2], numbers[3]
  if name.kind == "train" then
    local key = "train" .. a .. ":" .. b
    if not stamp then return {things[key]} end
    return {named("train", a .. ":" .. b, "", stamp)}
  elseif name.kind == "ebit" then
    return {ebit(a, b, stamp)}
  elseif name.kind == "ebits" then
    local all = {}
    if b < 65535 and c < 65535 then
      while b ~= c and #all < MOST do
        all[#all + 1] = ebit(a, b)
        b = (b + 1) % 65535
      end
    end
    return all
  elseif name.kind == "pair" then
    local circuit = circuits[hop(source, destination, a)]
    if not circuit then return {} end
    local _, label = pair(circuit.head, b)
    local thing = named("pair", label, label)
    thing.tail = circuit.tail
    return {thing}
  elseif name.kind == "hop" then
    local circuit = circuits[hop(source, destination, a)]
    return circuit and {ebit(circuit.link, b)} or {}
  elseif name.kind == "ends" then
    return {between(source, destination, a)}
  end
  local thing = named("errand", hop(source, destination, family .. ":" .. a .. ":" .. b), "")
  return {thing}
end

-- What a message is about, found once, when the capture is read.
local function learn(buf, start, family, message, pinfo, source, destination)
  local fields = message.fields
  if message.installs then
    local tail, at = message.tail, value(buf, start, fields, "position")
    local count = buf(start + tail.count_at, tail.count_len):uint()
    if count == 0 or at >= count then return end
    local function of(nth, name) return value(buf, start + message.size + nth * tail.each, tail.fields, name) end
    circuits[hop(source, destination, value(buf, start, fields, "circuit"))] =
      {head = value(buf, start, fields, "head"), tail = of(count - 1, "node"), link = of(at, "link")}
  end
  if not message.naming then return end
  local found, firsts = seen[pinfo.number] or {}, {}
  for _, name in ipairs(message.naming) do
    local condition = name.when and value(buf, start, fields, name.when)
    if not condition or (name.values and name.values[condition]) or (not name.values and condition ~= 0) then
      local numbers = {}
      for nth, field_name in ipairs(name.fields) do numbers[nth] = value(buf, start, fields, field_name) end
      local stamp = name.stamp and value(buf, start, fields, name.stamp)
      local about = things_of(name, numbers, stamp, family, source, destination)
      firsts[#firsts + 1] = about[1] or false
      for _, thing in ipairs(about) do found[#found + 1] = thing end
    end
  end
  local part, whole = firsts[1], firsts[2]
  if message.naming.joins and part and whole then
    if part.kind ~= "train" then part.of = {} end  -- a train may make several ebits
    local known = false
    for _, other in ipairs(part.of) do known = known or other == whole end
    if not known then part.of[#part.of + 1] = whole end
    if part.kind == "train" then table.remove(found, 1) end  -- this message is about one of them
  end
  -- A gate may be tried again with another pair: what its messages are about is decided now, if it can be.
  for nth, thing in ipairs(found) do
    if thing.kind == "errand" and thing.of[1] then found[nth] = thing.of[1] end
  end
  seen[pinfo.number] = found
end

-- Shows the pairs that the frame is about, each once; what later frames told of them as well, in a second pass.
local function add_pairs(pinfo, tree)
  local shown = {}
  local function show(all)
    for _, thing in ipairs(all) do
      if not shown[thing] then
        shown[thing] = true
        local one = thing.kind == "ebit" and EBIT or thing.kind == "pair" and PAIR
        if one then tree:add(one, thing.label):set_generated() end
        show(thing.of)
      end
    end
  end
  show(seen[pinfo.number] or {})
end

local add_message

-- The message inside a REL Data. What comes in several parts is not put together here.
local function add_carried(buf, start, size, stream, outer, tree, pinfo)
  local protocol, message = buf(start + @REL_PROTOCOL@, 1):uint(), buf(start + @REL_MESSAGE@, 1):uint()
  local family = FAMILIES[protocol]
  local name = family and family[message] and family.name .. " " .. family[message].name
    or "protocol " .. protocol .. " message " .. message
  local epoch, sequence = buf(start + @REL_STREAM_EPOCH@, 4):uint(), buf(start + @REL_SEQUENCE@, 4):uint()
  local more = buf(start + @REL_MORE@, 1):bitfield(0, 1) == 1
  stream = stream .. ":" .. epoch .. ":"
  if more then goes_on[stream .. sequence] = true end
  local frame = buf(@AT_SEQUENCE@, 4):uint()
  if not pinfo.visited then
    local before = first[stream .. sequence]
    if before and before ~= frame then flag(pinfo, AGAIN, "Data " .. sequence .. " was sent before") end
    first[stream .. sequence] = before or frame
  end
  if more or goes_on[stream .. (sequence - 1)] then
    return "REL", outer .. " (part of " .. name .. ")"
  end
  local length = buf(start + @REL_PAYLOAD_LENGTH@, 2):uint()
  if @REL_PAYLOAD@ + length > size then return "REL", outer end
  local column, info = add_message(buf, start + @REL_PAYLOAD@, length, protocol, message, stream, tree, pinfo)
  return column, info .. " (REL " .. outer .. ")"
end

-- Every frame stands in a trace as sent and as received: which of the two, for the Info column; nothing if a capture
-- does not say.
local known, DIRECTION = pcall(Field.new, "frame.packet_flags_direction")
local WAYS = { [1] = "rcvd ", [2] = "sent " }
local function direction()
  local flags = known and DIRECTION()
  return flags and WAYS[flags.value] or ""
end

-- What the testbed says about a frame in its comment: "t=770031000 ps, lost".
local commented, COMMENT = pcall(Field.new, "frame.comment")
local function fate(tree)
  local comment = commented and COMMENT()
  local note = comment and tostring(comment):match("^t=%d+ ps, (.*)$")
  if not note then return end
  local kind = note == "lost" and LOST or note:match("^dropped") and DROPPED or MARRED
  tree:add_proto_expert_info(kind, note)
end

-- Adds one message; returns the texts of the Protocol and Info columns.
function add_message(buf, start, size, protocol, number, stream, tree, pinfo)
  local family = FAMILIES[protocol]
  local message = family and family[number]
  if not message then
    tree:add_proto_expert_info(UNKNOWN, "protocol " .. protocol .. " has no message " .. number)
    return family and family.name or "Bellwire", "unknown message " .. number
  end
  local above = size > 0 and tree:add(family.node, buf(start, size)) or tree:add(family.node)
  above:set_text(family.title .. " (" .. family.name .. ")")
  local node = size > 0 and above:add(message.node, buf(start, size)) or above:add(message.node)
  local keys = add_fields(buf, start, size, message.fields, node)
  local info = keys == "" and message.name or message.name .. " " .. keys
  node:set_text(info)
  if size < message.size then
    node:add_proto_expert_info(SHORT, size .. " bytes of " .. message.size)
    return family.name, info .. " [too short]"
  end
  local wanted = message.tail and add_tail(buf, start, size, message, node) or message.size
  if size < wanted then
    node:add_proto_expert_info(SHORT, size .. " bytes of " .. wanted)
    return family.name, info .. " [too short]"
  elseif size > wanted then
    node:add_proto_expert_info(LONG, size .. " bytes, not " .. wanted)
    info = info .. " [bytes left over]"
  end
  local remark = message.remark
  if remark and (not remark.when or remark.values[value(buf, start, message.fields, remark.when)]) then
    node:add_proto_expert_info(remark.expert, remark.text)
  end
  if not pinfo.visited and size == wanted then
    local from, to = buf(@AT_SOURCE@, 2):uint(), buf(@AT_DESTINATION@, 2):uint()
    learn(buf, start, family.name, message, pinfo, from, to)
  end
  if message.carries then return add_carried(buf, start, size, stream, info, tree, pinfo) end
  return family.name, info
end

function bellwire.dissector(buf, pinfo, tree)
  local size = buf:len()
  pinfo.cols.protocol = "Bellwire"
  local top = size > 0 and tree:add(bellwire, buf()) or tree:add(bellwire)
  if size < HEADER_BYTES then
    pinfo.cols.info = "shorter than a header"
    top:add_proto_expert_info(SHORT, size .. " bytes of the header's " .. HEADER_BYTES)
    add_fields(buf, 0, size, HEADER, top)
    return size
  end
  if buf(@AT_VERSION@, 1):uint() ~= VERSION then
    pinfo.cols.info = "no frame of this version"
    top:add_proto_expert_info(FOREIGN, "version " .. buf(@AT_VERSION@, 1):uint())
    return size
  end
  add_fields(buf, 0, size, HEADER, top)
  local length = buf(@AT_LENGTH@, 2):uint()
  if length ~= buf:reported_len() or length > MAX_FRAME then
    top:add_proto_expert_info(LENGTH, "length says " .. length .. ", the frame has " .. buf:reported_len())
  end
  local protocol, number = buf(@AT_PROTOCOL@, 1):uint(), buf(@AT_MESSAGE@, 1):uint()
  local source, destination = buf(@AT_SOURCE@, 2):uint(), buf(@AT_DESTINATION@, 2):uint()
  local life = buf(@AT_INCARNATION@, 2):uint()
  local stream = source .. ">" .. destination .. ":" .. life
  if not pinfo.visited and life > (lives[source] or 0) then
    if lives[source] then flag(pinfo, REBORN, "node " .. source .. " in its life number " .. life) end
    lives[source] = life
  end
  top:append_text(", node " .. source .. " to node " .. destination)
  local column, info =
    add_message(buf, HEADER_BYTES, size - HEADER_BYTES, protocol, number, stream, top, pinfo)
  for _, about in ipairs(flags[pinfo.number] or {}) do top:add_proto_expert_info(about[1], about[2]) end
  fate(top)
  add_pairs(pinfo, top)
  pinfo.cols.protocol = column
  pinfo.cols.info = direction() .. info
  return size
end

-- On any other port: a frame whose version, length and protocol are right.
local function heuristic(buf, pinfo, tree)
  if buf:len() < HEADER_BYTES or buf(@AT_VERSION@, 1):uint() ~= VERSION then return false end
  if buf(@AT_LENGTH@, 2):uint() ~= buf:reported_len() then return false end
  if not FAMILIES[buf(@AT_PROTOCOL@, 1):uint()] then return false end
  bellwire.dissector(buf, pinfo, tree)
  return true
end

DissectorTable.get("udp.port"):add(PORT, bellwire)
bellwire:register_heuristic("udp", heuristic)
