import pytest

from mm_assets.aligned.documents.windows.interleave import DocumentNames
from mm_assets.documents.blocks import Block
from mm_assets.identifiers import make_id


@pytest.fixture
def document_names() -> DocumentNames:
    def block_id(block: Block) -> str:
        return make_id("blk", "doc_1", block.position, block.type, block.text)

    return DocumentNames("b1", "doc_1", "documents/a.pdf", block_id)
