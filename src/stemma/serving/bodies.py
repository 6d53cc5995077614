"""What requests hold and what answers do, for checking and for the OpenAPI document."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stemma.bounds import MOST_SEED
from stemma.config import nearest
from stemma.runs.decoding import MOST_PENALTY
from stemma.runs.word_vectors import FREQUENT

Text = Annotated[str, Field(description="a text")]
Parts = Annotated[list[str], Field(min_length=1, description="the parts of one input")]
Several = Annotated[int, Field(ge=1, le=1000)]
Row = dict[str, Any]


class Body(BaseModel):
    """A request; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def known(cls, given: Any) -> Any:
        """Names the key nearest to one that is not known."""
        unknown = [str(key) for key in given if key not in cls.model_fields] if isinstance(given, dict) else []
        if unknown:
            raise ValueError(f"there is no key {unknown[0]!r} here; {nearest(unknown[0], cls.model_fields)}")
        return given


class Foreign(BaseModel):
    """A request as another program's clients write it; keys that mean nothing here are passed over, and null is as if left out."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def given(cls, given: Any) -> Any:
        """What is set."""
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given


class Asking(Body):
    """Inputs for a model."""

    model: str | None = Field(None, description="a name that GET /v1/models lists; none: the only one that can")
    inputs: Text | list[Text | Parts] = Field(description="a text or several; an input with parts is a list of them")
    strict: bool = Field(False, description="whether one faulty input fails the request")

    @property
    def listed(self) -> list[str | list[str]]:
        """The inputs as a list."""
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


class Embed(Asking):
    """`stemma embed`."""

    layer: int = Field(-1, description="0: the embeddings, -1: the last")
    normalise: bool = False
    tokens: bool = Field(False, description="the vector of each token, too")


class Score(Asking):
    """`stemma score`."""

    tokens: bool = Field(False, description="what each token costs, too")


class Fill(Asking):
    """`stemma fill`."""

    k: Several = 5


class Generate(Asking):
    """`stemma generate`."""

    inputs: Text | list[Text | Parts] = ""
    length: Annotated[int, Field(ge=0)] = 50
    temperature: Annotated[float, Field(ge=0, strict=False)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0, le=1, strict=False)] = 1.0
    repetition_penalty: Annotated[float, Field(gt=0, strict=False)] = 1.0
    beams: Annotated[int, Field(ge=1, le=64)] = 1
    length_penalty: Annotated[float, Field(ge=0, le=MOST_PENALTY, strict=False)] = 0.6
    stop: list[Annotated[str, Field(min_length=1)]] = []
    samples: Annotated[int, Field(ge=1, le=64)] = 1
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0
    next: Annotated[int, Field(ge=0, le=1000)] = 0
    stream: bool = Field(False, description="server-sent events, for one prompt")


class Translate(Asking):
    """`stemma translate`."""

    beams: Annotated[int, Field(ge=1, le=64)] = 4
    length_penalty: Annotated[float, Field(ge=0, le=MOST_PENALTY, strict=False)] = 0.6
    samples: Annotated[int, Field(ge=1, le=64)] = 1


class Nearest(Asking):
    """`stemma nearest`."""

    k: Several = 10
    restrict: Annotated[int, Field(ge=0)] = FREQUENT
    outlier: bool = False


class Attend(Asking):
    """`stemma attend`."""

    layer: Annotated[int, Field(ge=1)] | None = None
    head: Annotated[int, Field(ge=1)] | None = None


class Masks(Asking):
    """`stemma show masks`."""

    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0


class Usage(BaseModel):
    """What a request cost."""

    tokens: int


class Answer(BaseModel):
    """What /v1 answers: a row an input, or as many as there are samples."""

    model: str
    version: int
    outputs: list[Row]
    usage: Usage
    truncated: list[bool]


class Described(BaseModel):
    """A model."""

    id: str
    object: str
    created: int
    owned_by: str
    version: int
    versions: list[int]
    generation: str
    short: str
    title: str
    year: int
    paper: str
    colour: str
    about: dict[str, dict[str, str]]
    abilities: list[str]
    task: str | None
    parts: list[str] | None
    more_parts: bool
    labels: list[str] | None
    scripts: list[str]
    vocabulary: int
    tokenizer: str
    max_length: int | None
    layers: int | None
    parameters: int
    doubts: list[dict[str, Any]]
    engines: dict[str, str] = Field(description="what computes each ability that engines know")


class Listed(BaseModel):
    """All models."""

    object: str
    data: list[Described]


class Fault(BaseModel):
    """Every error, but those of OpenAI's routes."""

    error: str
    error_type: str


class OpenaiWords(BaseModel):
    """What was wrong, and its kind."""

    message: str
    type: str
    param: None
    code: None


class OpenaiFault(BaseModel):
    """An error of OpenAI's routes."""

    error: OpenaiWords
