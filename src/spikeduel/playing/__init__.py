"""A page on this machine where one image is answered by several models side by side, and settings can be moved.

A small Starlette application behind uvicorn, and a page of our own: the two weigh half a megabyte, import in a
thirtieth of a second, and let us write the page's security policy. Gradio weighs 31 MB, takes seconds to import, keeps
uploads in a folder that it serves, and has a look of its own.

Why it is made as it is:

- It listens on 127.0.0.1 alone. A page elsewhere in the same browser can still send requests there. So the Host header
  must be this machine's name (else a stranger's name could be made to lead here), the Origin must be the page's own,
  and an image must come as `application/octet-stream`, for which browsers ask before they send it across origins.
- Nothing is kept. An image and its settings come in, the inside view goes out: two people cannot see each other's
  images, and there is nothing to clean up. There are no cookies and no sessions.
- No path from a request is ever opened. There is no static folder; page, script and style are read into memory at
  start, and a sample is known by its number. An encoding is chosen from a list, since a name could else import code.
- Models are shared and never changed: other settings build a network anew from its card, with the same weights.
- What a request costs is limited: 16 MB of body, 80 million pixels (looked up before decoding), so many time steps.
- One answer is computed at a time, in a thread beside the loop, in the order of arrival. A visitor's page has one
  request under way, so that visitors take turns. Too many waiting requests are refused, and the page asks again.
"""

from spikeduel.playing.serving import application, play
from spikeduel.playing.table import Table, laid

__all__ = ["Table", "application", "laid", "play"]
