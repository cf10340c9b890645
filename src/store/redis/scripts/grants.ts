/** Reads and changes the grants of a session, by Redis' own clock: no replica's clock decides about their end. */
export const GRANTS = `
local served = tonumber(at[1]) * 1000 + math.floor(tonumber(at[2]) / 1000)

-- gr of a session: a line DIGEST END SEALED for each grant, END in epoch milliseconds. Returns those that are not over.
local function grants_in(lines, without)
  local found = {}
  for grant, till, sealed in string.gmatch(lines or '', '(%S+) (%d+) (%S+)\\n') do
    if tonumber(till) > served and grant ~= without then
      found[#found + 1] = grant .. ' ' .. till .. ' ' .. sealed .. '\\n'
    end
  end
  return found
end

local function drop_grant(hash, grant)
  local key = P .. 'session:' .. hash
  local lines = redis.call('HGET', key, 'gr')
  if not lines then return end
  local left = grants_in(lines, grant)
  if #left > 0 then redis.call('HSET', key, 'gr', table.concat(left)) else redis.call('HDEL', key, 'gr') end
end
`;
