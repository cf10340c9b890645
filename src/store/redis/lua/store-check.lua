-- The scripts of `portcullis store check`. They write to `{PREFIX}:check:ID:…` only, and each of these keys has a TTL
-- of less than a minute from its first command on, so that a check that is interrupted leaves nothing. `check` is the
-- ID.

local CHECK_TTL_SECONDS = 50

-- Returns what the head of every script reads, and `maxmemory`, which sign-ins need; '' if it is missing.
local function probe_server()
  local rid = primary_generation()
  if not rid then return {'UNIDENTIFIED'} end
  local time = redis.call('TIME')
  return {'OK', rid, time[1], time[2], maxmemory() or ''}
end

-- Calls every command that the scripts call, each with the options that they use, and publishes on the channel
-- `{PREFIX}:check:ID`. The reply is `OK`, or `STOPPED` where a key could not be given a TTL; then pairs of a command
-- and its error.
local function probe_commands(check)
  local K = P .. CHECK_KEYS .. check
  local text, other, hash, set, sorted, stream = K .. ':a', K .. ':b', K .. ':c', K .. ':d', K .. ':e', K .. ':f'
  local result = {'OK'}
  local function try(name, ...)
    local reply = redis.pcall(name, ...)
    if type(reply) ~= 'table' or not reply['err'] then return true end
    result[#result + 1] = name
    result[#result + 1] = reply['err']
    return false
  end
  if not try('SET', text, '1', 'EX', CHECK_TTL_SECONDS) or not try('EXPIRE', text, CHECK_TTL_SECONDS) then
    result[1] = 'STOPPED'
    return result
  end
  try('GET', text)
  try('INCR', text)
  try('EXISTS', text)
  try('TTL', text)
  try('RENAME', text, other)
  try('DEL', other)
  try('HSET', hash, 'a', '1', 'b', '2')
  redis.pcall('EXPIRE', hash, CHECK_TTL_SECONDS)
  try('HSETNX', hash, 'c', '3')
  try('HGET', hash, 'a')
  try('HMGET', hash, 'a', 'b')
  try('HGETALL', hash)
  try('HEXISTS', hash, 'a')
  try('HINCRBY', hash, 'a', 1)
  try('HDEL', hash, 'a', 'b')
  try('SADD', set, 'a', 'b')
  redis.pcall('EXPIRE', set, CHECK_TTL_SECONDS)
  try('SISMEMBER', set, 'a')
  try('SMEMBERS', set)
  try('SRANDMEMBER', set, 1)
  try('SREM', set, 'a')
  try('ZADD', sorted, 1, 'a')
  redis.pcall('EXPIRE', sorted, CHECK_TTL_SECONDS)
  try('ZADD', sorted, 'GT', 2, 'a')
  try('ZADD', sorted, 'XX', 3, 'a')
  try('ZADD', sorted, 'INCR', 1, 'a')
  try('ZCARD', sorted)
  try('ZCOUNT', sorted, '(0', '+inf')
  try('ZSCORE', sorted, 'a')
  try('ZRANGE', sorted, 0, -1)
  try('ZRANGEBYSCORE', sorted, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  try('ZREVRANGEBYSCORE', sorted, '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  try('ZREMRANGEBYSCORE', sorted, '-inf', 0)
  try('ZREM', sorted, 'b')
  try('ZPOPMIN', sorted, 1)
  try('XADD', stream, '1-0', 'a', '1')
  redis.pcall('EXPIRE', stream, CHECK_TTL_SECONDS)
  try('XADD', stream, 'MINID', '1-0', '2-0', 'a', '1')
  try('XADD', stream, 'MAXLEN', '~', 10, '*', 'a', '1')
  try('XLEN', stream)
  try('XRANGE', stream, '(1-0', '+', 'COUNT', 1)
  try('XDEL', stream, '2-0')
  try('TIME')
  try('INFO', 'server', 'replication')
  try('PUBLISH', K, 'check')
  -- Where the command that should have made a key was refused, a later one has made it, without a TTL.
  for _, key in ipairs({text, other, hash, set, sorted, stream}) do redis.pcall('EXPIRE', key, CHECK_TTL_SECONDS) end
  try('UNLINK', text, other, hash, set, sorted, stream)
  return result
end

-- Writes something that followers can confirm.
local function probe_write(check)
  redis.call('SET', P .. CHECK_KEYS .. check .. ':g', '1', 'EX', CHECK_TTL_SECONDS)
  return {'OK'}
end
