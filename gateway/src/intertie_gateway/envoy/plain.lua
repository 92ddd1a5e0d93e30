-- Tells requests that Envoy's transcoder and the gateway read alike; see straight.py. What a plain request of the route
-- may say stands in the route's metadata. Only what is found plain leaves for the service: without a verdict, and when
-- this script fails, a request keeps its route to the gateway.

local MOST_HEADERS = 57 -- with what Envoy adds, the gateway's 60
local MOST_HEADER_BYTES = 7680
local MOST_BODY_BYTES = 65536
local ONCE = {["authorization"] = true, ["content-type"] = true, ["content-encoding"] = true, ["content-length"] = true,
              ["x-request-id"] = true, ["host"] = true, [":authority"] = true}

local function is_plain_head(headers)
  local count, bytes, seen = 0, 0, {}
  for name, value in pairs(headers) do
    count, bytes = count + 1, bytes + #name + #value
    if (ONCE[name] and seen[name]) or name:find("_", 1, true) or name:sub(-4) == "-bin" then return false end
    seen[name] = true
  end
  local id = headers:get("x-request-id")
  return count <= MOST_HEADERS and bytes <= MOST_HEADER_BYTES and id ~= nil and #id <= 128
    and id:find("^[%w._:-]+$") ~= nil
end

-- Whether a text says a single value of the kind, as a query has it.
local function is_of_kind(text, kind)
  if type(kind) == "table" then
    for _, name in ipairs(kind) do if name == text then return true end end
    return false
  elseif kind == "number" then
    return text:find("^%d+$") ~= nil and #text <= 9 and (text == "0" or text:sub(1, 1) ~= "0")
  elseif kind == "boolean" then
    return text == "true" or text == "false"
  end
  return kind == "text" and text:find("^[%w_.~-]+$") ~= nil
end

local function is_plain_query(path, known)
  local query = path:match("%?(.*)$")
  if query == nil then return true end
  local seen = {}
  for part in (query .. "&"):gmatch("([^&]*)&") do
    local name, text = part:match("^([%w_]+)=(.+)$")
    if name == nil or seen[name] or known[name] == nil or not is_of_kind(text, known[name]) then return false end
    seen[name] = true
  end
  return true
end

-- Each of these gives where the value that begins at `at` ends, or nil for one that is not plain.
local read

local function space(text, at) return text:find("[^ \t\r\n]", at) or #text + 1 end

local function read_text(text, at)
  local value, behind = text:match('^"([^%c"\\\128-\255]*)"()', at)
  return behind, value
end

local function read_members(text, at, members)
  if text:sub(at, at) ~= "{" then return nil end
  at = space(text, at + 1)
  if text:sub(at, at) == "}" then return at + 1 end
  local seen = {}
  while true do
    local behind, name = read_text(text, at)
    if behind == nil or seen[name] or members[name] == nil then return nil end
    seen[name] = true
    at = space(text, behind)
    if text:sub(at, at) ~= ":" then return nil end
    at = read(text, space(text, at + 1), members[name])
    if at == nil then return nil end
    at = space(text, at)
    local sign = text:sub(at, at)
    if sign == "}" then return at + 1 end
    if sign ~= "," then return nil end
    at = space(text, at + 1)
  end
end

local function read_each(text, at, kind)
  if text:sub(at, at) ~= "[" then return nil end
  at = space(text, at + 1)
  if text:sub(at, at) == "]" then return at + 1 end
  while true do
    at = read(text, at, kind)
    if at == nil then return nil end
    at = space(text, at)
    local sign = text:sub(at, at)
    if sign == "]" then return at + 1 end
    if sign ~= "," then return nil end
    at = space(text, at + 1)
  end
end

read = function(text, at, kind)
  if type(kind) == "table" then
    if kind.members ~= nil then return read_members(text, at, kind.members) end
    if kind.each ~= nil then return read_each(text, at, kind.each) end
    local behind, name = read_text(text, at)
    return behind ~= nil and is_of_kind(name, kind) and behind or nil
  elseif kind == "text" then
    return (read_text(text, at))
  end
  local word, behind = text:match("^([%w.+-]+)()", at)
  return word ~= nil and is_of_kind(word, kind) and behind or nil
end

local function is_plain_body(handle, kind)
  local headers = handle:headers()
  local length = headers:get("content-length")
  if kind == nil then
    if length ~= nil and length ~= "0" then return false end
    local unasked = handle:body() -- over HTTP/2 one may come without its length
    return unasked == nil or unasked:length() == 0
  end
  if length == nil or not is_of_kind(length, "number") or tonumber(length) > MOST_BODY_BYTES then return false end
  local buffer = handle:body()
  if buffer == nil or buffer:length() == 0 then return false end
  local text = buffer:getBytes(0, buffer:length())
  local behind = read(text, space(text, 1), kind)
  return behind ~= nil and space(text, behind) == #text + 1
end

function envoy_on_request(handle)
  local rules = handle:metadata()
  local known = rules:get("query")
  if known == nil then return end
  local headers = handle:headers()
  if is_plain_head(headers) and is_plain_query(headers:get(":path"), known)
      and is_plain_body(handle, rules:get("body")) then
    handle:streamInfo():dynamicMetadata():set("intertie", "plain", true)
    handle:clearRouteCache()
  end
end

-- Nothing of gRPC is left in the headers; and of an error what the gateway says there, too.
function envoy_on_response(handle)
  local headers = handle:headers()
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  headers:remove("grpc-accept-encoding")
  local status = headers:get(":status")
  if (status == "503" or status == "429") and headers:get("retry-after") == nil then
    headers:add("retry-after", "1")
  elseif status == "401" and headers:get("www-authenticate") == nil then
    headers:add("www-authenticate", "Bearer")
  end
end
