-- What the server that runs a script says of itself.

-- Returns the primary generation: the server process and its replication history, which changes with each promotion. It
-- also changes when the first follower attaches (`redis-cli --rdb` is one), and when all have been gone for
-- `repl-backlog-ttl`: one epoch too many, and never one too few.
--
-- A primary that was demoted and promoted again unnoticed is the same process, and may have adopted a history that
-- forgot a revocation (test/model/primary-generation.pml, REPROMOTION), so the history is part of it.
--
-- Returns nothing where the server does not report both, or only zeros in place of one: a restart that forgot a
-- revocation would go unnoticed there, so the reply of a script is UNIDENTIFIED then.
local function primary_generation()
  local about = redis.call('INFO', 'server', 'replication')
  local run_id = string.match(about, 'run_id:(0*[1-9a-f]%x*)')
  local replid = string.match(about, 'master_replid:(0*[1-9a-f]%x*)')
  return run_id and replid and run_id .. '.' .. replid
end

-- time: a reply of TIME.
local function to_ms(time)
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- The server's own limit of memory, in bytes; nil where it does not report one.
local function maxmemory()
  return string.match(redis.call('INFO', 'memory'), 'maxmemory:(%d+)')
end
