"""The roles of methods in a study: each part states its role, which the analysis and the page
read."""

from typing import Literal

#: An `arm` removes neurons by the classification, which is what the study asks about; a `control`
#: is what an arm or a method is compared with; any other part is a `method`, as published.
Role = Literal["arm", "control", "method"]
ARM: Role = "arm"
CONTROL: Role = "control"
METHOD: Role = "method"

#: Which neurons go first: of sparsifiers that remove neurons along the classification's order, from
#: either end, or at random.
First = Literal["coldest", "hottest", "random"]
COLDEST: First = "coldest"
HOTTEST: First = "hottest"
RANDOM: First = "random"
