--- Starts the workspace through the API: a start build with the last build's
--- parameters, and what was given on the command line over them.
local starter = {}

-- A deployment that does not tell them keeps the last build's by itself.
local function parameters_of(workspace)
  local parameters, err = workspace:build_parameters()
  if not parameters and err.code ~= "not_found" then return nil, err end
  parameters = parameters or {}
  for name, value in pairs(workspace.overrides) do parameters[name] = value end
  return parameters
end

function starter.start_workspace(workspace)
  local parameters, err = parameters_of(workspace)
  if not parameters then return nil, err end
  local build
  build, err = workspace:build{ transition = "start", parameters = parameters }
  local active = workspace.active_version_id
  if not build and err.code == "denied" and active
    and active ~= workspace.latest_build.template_version_id then
    workspace:log("the template is outdated: starting with its active version")
    build, err = workspace:build{
      transition = "start", parameters = parameters, template_version_id = active,
    }
  end
  if build then
    workspace:log(("build %d: %s"):format(build.number, build.status))
    return true
  end
  if err.code == "conflict" then    -- a build is already under way
    workspace:log("a build is already under way")
    return true
  end
  return nil, err
end

return starter
