"""Short texts that somebody might want an opinion on: arguments, verses, solutions."""

DRAFTS: tuple[str, ...] = (
    "Trams should run at night. Most accidents happen at night, so trams at night would prevent "
    "most accidents.",
    "Every great inventor worked alone. So whoever works in a team will never invent anything.",
    "Libraries lend fewer books than ten years ago. That may mean that people read less, or that "
    "they read elsewhere; loans alone do not decide it.",
    "Since our school introduced chess, marks have risen. Chess makes pupils better, and all "
    "schools should introduce it.",
    "If the price of bread doubles, those who can pay will eat cake. So a higher price harms "
    "nobody.",
    "Two measurements differ by less than the error of each. I would not call one larger.",
    "The river carries the evening home, / the lamps put stars upon its foam, / and I, who never "
    "learned to row, / lend it my shadow, let it go.",
    "My cat is round, my cat is grey, / my cat is round the livelong day, / and if it is not round "
    "at night / it is because there is no light.",
    "Snow on the field, no track, no sound. / The year lies down without a bed. / Somebody left a "
    "glove. I found / it still had five small doors of red.",
    "O love, thou art a burning fire, / a fire of burning, hot desire, / desire that burns and "
    "burns like fire, / o fire, fire, fire, fire!",
    "Task: a train covers 90 km in 45 minutes. How fast is it? Solution: 45 minutes are three "
    "quarters of an hour, and 90 / 0.75 = 120, so 120 km/h.",
    "Task: a coat costs 80 after a reduction of 20 %. What did it cost? Solution: 20 % of 80 are "
    "16, so it cost 96.",
    "Task: how many edges has a cube? Solution: 6 faces with 4 edges each make 24, each edge "
    "belongs to two faces, so 12.",
    "Task: what is the chance of two heads in two throws? Solution: of three outcomes, none, "
    "one or two heads, so a third.",
    "Task: is 91 prime? Solution: it is not divisible by 2, 3 or 5, so it is prime.",
    "Task: which is larger, 3/4 or 5/7? Solution: 21/28 against 20/28, so 3/4.",
)
