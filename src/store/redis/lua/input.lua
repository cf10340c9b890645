-- What a script is given.

-- The hash tag with a colon; all other keys are derived from it.
local P = KEYS[1]

-- The arguments from an index on. There may be thousands, and `unpack` takes fewer.
local function arguments_from(index)
  local found = {}
  for i = index, #ARGV do found[#found + 1] = ARGV[i] end
  return found
end
