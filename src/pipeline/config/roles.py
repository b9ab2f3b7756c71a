"""What the parts of methods stand for in a study; the parts say it, the analysis and the page read
it."""

from typing import Literal

#: An `arm` removes neurons by the classification, which is what the study asks about; a `control`
#: is what an arm or a method is compared with; any other part is a `method`, as published.
Role = Literal["arm", "control", "method"]
ARM: Role = "arm"
CONTROL: Role = "control"
METHOD: Role = "method"

#: Which neurons go first, of sparsifiers that remove them in the classification's order, from
#: either end, or in none.
First = Literal["coldest", "hottest", "random"]
COLDEST: First = "coldest"
HOTTEST: First = "hottest"
RANDOM: First = "random"
