"""All pages of the service, as one router."""

from fastapi import APIRouter

from fairlead.feedback.web import entrance, leads, profile, tasks

router = APIRouter()
for part in (entrance, tasks, profile, leads):
    router.include_router(part.router)
