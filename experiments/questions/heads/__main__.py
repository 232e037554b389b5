from experiments.heads import main

main()
