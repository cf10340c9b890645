-- For scripts as they are composed (src/store/redis/lua.ts): what Redis gives them, and no more.
std = {
  read_globals = {
    'ARGV', 'KEYS', 'cjson', 'ipairs', 'math', 'pairs', 'redis', 'string', 'table', 'tonumber', 'tostring', 'type',
    'unpack',
  },
}
-- Of the head, which not every script needs.
ignore = {'211/seconds', '211/settled', '231/gap'}
-- Lists of fields are one line.
max_line_length = false
