// As main it only takes note; as post, which GitHub runs in every ending, it runs the Action's own post.
const { spawnSync } = require('node:child_process')
const { appendFileSync } = require('node:fs')

const { INPUT_PYTHON, INPUT_STATE, GITHUB_STATE, STATE_python, STATE_state, ...environment } = process.env

if (STATE_python) {
  const ended = spawnSync(STATE_python, ['-IBu', '-m', 'lightning_zenml.action', 'post'], {
    stdio: 'inherit',
    env: { ...environment, LIGHTNING_ZENML_STATE: STATE_state },
  })
  if (ended.error) console.log(`::error::${ended.error.message}`)
  process.exitCode = ended.status ?? 1
} else {
  appendFileSync(GITHUB_STATE, `python=${INPUT_PYTHON}\nstate=${INPUT_STATE}\n`)
}
