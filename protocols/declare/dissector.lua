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

-- Fields: f ProtoField, at and len in bytes, bit and bits within them, names of code points, key = shown in Info.
local HEADER = {
@HEADER@
}

-- Protocols and their messages: size of the fixed part, fields, tail = the variable part.
local FAMILIES = {
@FAMILIES@
}

bellwire.fields = declared

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
bellwire.experts = {SHORT, LONG, BOUND, VALUE, LENGTH, FOREIGN, UNKNOWN}

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
      if one.key then shown[#shown + 1] = one.key .. "=" .. text end
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

-- Sequence numbers of Data that another one continues, by stream; rebuilt with every reading of the capture.
local goes_on = {}
function bellwire.init() goes_on = {} end

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
  local stream = source .. ">" .. destination .. ":" .. buf(@AT_INCARNATION@, 2):uint()
  top:append_text(", node " .. source .. " to node " .. destination)
  local column, info =
    add_message(buf, HEADER_BYTES, size - HEADER_BYTES, protocol, number, stream, top, pinfo)
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
