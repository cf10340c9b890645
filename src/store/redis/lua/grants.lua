-- Reads and changes the grants of a session, by Redis' own clock: no replica's clock decides about their end.

local served = to_ms(at)

-- gr of a session: a line DIGEST END SEALED for each grant, END in epoch milliseconds. Returns those that are not over.
local function grants_in(lines, without)
  local found, from = {}, 1
  while lines do
    -- What is sealed is long, so no pattern runs over it.
    local till_here = string.find(lines, '\n', from, true)
    if not till_here then break end
    local grant, till = string.match(lines, '^(%S+) (%d+) ', from)
    if grant and tonumber(till) > served and grant ~= without then
      found[#found + 1] = string.sub(lines, from, till_here)
    end
    from = till_here + 1
  end
  return found
end

-- For a reply: the time, then a line for each grant. '' for none.
local function shown_grants(lines)
  local found = lines and grants_in(lines) or {}
  return #found > 0 and string.format('%.0f', served) .. '\n' .. table.concat(found) or ''
end

local function put_grants(hash, lines)
  local key = P .. 'session:' .. hash
  if #lines > 0 then redis.call('HSET', key, 'gr', table.concat(lines)) else redis.call('HDEL', key, 'gr') end
end

local function add_grant(hash, grant, till, sealed)
  local lines = grants_in(redis.call('HGET', P .. 'session:' .. hash, 'gr'), grant)
  lines[#lines + 1] = grant .. ' ' .. till .. ' ' .. sealed .. '\n'
  put_grants(hash, lines)
end

local function drop_grant(hash, grant)
  local lines = redis.call('HGET', P .. 'session:' .. hash, 'gr')
  if lines then put_grants(hash, grants_in(lines, grant)) end
end
