"""What every section of the policy is, and the kinds of number it holds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0.0)]


class Section(BaseModel):
    """A frozen group of settings; unknown keys and values out of range are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
