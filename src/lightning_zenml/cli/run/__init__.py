"""`run`: the Action's main job from this machine; `action.main.Story` is its story, too."""
