"""A web service: uvicorn serve:app; curl --data-binary @dog.jpg localhost:8000/sound -o dog.wav."""

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool

from echoes_rt import Echoes, InputError

app, echoes = FastAPI(), Echoes.load()


@app.post("/sound")
async def sound(request: Request, seed: int | None = None, format: str = "wav") -> Response:
    picture = await request.body()
    try:
        made = await run_in_threadpool(echoes.image_to_audio, picture, seed=seed)
        return Response(made.to_bytes(format), 200, {"X-Seed": str(made.seed)}, f"audio/{format}")
    except InputError as error:
        raise HTTPException(422, str(error)) from error
