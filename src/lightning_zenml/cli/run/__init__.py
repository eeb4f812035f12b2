"""`run`: the Action's main job from this machine; `action.story.Story` is its story, too."""
