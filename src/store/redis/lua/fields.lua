-- Fields of hashes and of entries of streams, by name.

-- Returns those fields of a hash that are there.
local function fields(key, names)
  local values, f = redis.call('HMGET', key, unpack(names)), {}
  for i = 1, #names do f[names[i]] = values[i] or nil end
  return f
end

-- entry: as XRANGE returns it.
local function entry_fields(entry)
  local f = {}
  for i = 1, #entry[2], 2 do f[entry[2][i]] = entry[2][i + 1] end
  return f
end

-- For a reply: every one of these fields must be there, because a list ends at the first nil.
local function in_order(f, names)
  local values = {}
  for i = 1, #names do values[i] = f[names[i]] end
  return values
end
